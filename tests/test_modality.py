"""The registry of modalities, against what NumPy says of integers."""

import jax.numpy as jnp
import numpy as np
import pytest

from zoo import metrics, modality, noise
from zoo.errors import ZooError
from zoo.modality import AUDIO, IMAGE, Modality


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
def test_integers_become_floats_of_the_range(dtype, array):
    limits = np.iinfo(dtype)
    found = modality.to_float(array(np.array([limits.min, 0, limits.max], dtype)))
    assert found.dtype == np.float32
    low, high = AUDIO.range if limits.min else IMAGE.range
    np.testing.assert_allclose(found, [low, 0, high], atol=1 / limits.max)
    with pytest.raises(ZooError, match="bool"):
        modality.to_float(array(np.array([True])))


def test_modalities_are_found_by_name_and_by_their_axes():
    assert modality.get("image") is modality.get(IMAGE) is IMAGE
    assert modality.of_batch(4) is IMAGE
    assert modality.of_batch(3) is AUDIO
    assert modality.of_batch(7) is None
    assert (IMAGE.count(1), AUDIO.count(3)) == ("1 image", "3 audio signals")
    assert (IMAGE.span, AUDIO.span) == ("[0, 1]", "[-1, 1]")
    assert (IMAGE.scale, AUDIO.scale) == (255, 32768)
    assert noise.OPS is noise.registry(IMAGE)
    assert noise.audio.OPS is noise.registry("audio")
    with pytest.raises(ZooError, match="did you mean 'image'"):
        modality.get("imag")
    with pytest.raises(ValueError, match="two modalities"):
        modality.register(Modality(**vars(IMAGE)))


def test_metrics_are_registered_with_what_is_shown_of_them():
    assert [m.name for m in IMAGE.choose()] == ["psnr", "ssim", "mse", "mae"]
    assert [m.name for m in AUDIO.choose(["pesq", "si_sdr"])] == ["si_sdr", "pesq"]
    psnr = metrics.main_metric(IMAGE)
    assert (psnr.heading, psnr.unit, psnr.text(29.2345), psnr.text(None)) == (
        *("PSNR, dB", "dB", "29.23", "-"),
    )
    with pytest.raises(ZooError, match="did you mean 'psnr'"):
        IMAGE.choose(["psmr"])
    with pytest.raises(ValueError, match="two metrics"):
        IMAGE.metric("PSNR", 2)(metrics.psnr)
