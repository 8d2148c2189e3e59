"""Files: of any length and kind in, the same kind out, whole or not at all."""

import os
import resource
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest
import soundfile
from stubs import Gain, Whole, noise, sine
from variables import random_variables

from zoo import denoise, denoise_file, weights
from zoo.data import audio_files, audio_writing
from zoo.errors import ZooError
from zoo.models import create_model

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FORMATS = [
    ("wav", "WAV", "PCM_16"),
    ("wav", "WAV", "PCM_U8"),
    ("wav", "WAVEX", "PCM_24"),
    ("wav", "RF64", "PCM_16"),
    ("wav", "WAV", "FLOAT"),
    ("wav", "WAV", "ULAW"),
    ("flac", "FLAC", "PCM_16"),
    ("flac", "FLAC", "PCM_24"),
    ("ogg", "OGG", "VORBIS"),
    ("mp3", "MP3", "MPEG_LAYER_III"),
]


def refused(match, *args, **options):
    with pytest.raises(ZooError, match=match) as caught:
        denoise_file(*args, **options)
    assert "\n" not in str(caught.value)


def only(folder, *names):
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)


@pytest.fixture(scope="module")
def stream_t(tmp_path_factory):
    """A weight file, its module and its variables."""
    model = create_model("stream-t")
    variables = random_variables(model, np.zeros((1, 4096, 1), np.float32))
    path = tmp_path_factory.mktemp("weights") / "stream-t.safetensors"
    weights.save(path, variables, {"model": "stream-t", "options": {}})
    return path, model, variables


# ------------------------------------------------------------------------- the model's output


@pytest.mark.parametrize(
    "samples", [*(pytest.param(n, marks=pytest.mark.matrix) for n in (1, 255, 256, 257)), 40009]
)
@pytest.mark.matrix
def test_a_file_is_the_model_applied_to_the_whole(tmp_path, stream_t, samples):
    path, model, variables = stream_t
    x = noise(samples, 2)
    audio_writing.write(tmp_path / "a.wav", x, 16000, subtype="FLOAT")
    alone = {"separate_channels": True}
    report = denoise_file(tmp_path / "a.wav", tmp_path / "b.wav", path, **alone)
    assert report[:4] == (samples, 2, 16000, 0)
    expected = np.asarray(jax.jit(model.apply)(variables, x[None]))[0]
    np.testing.assert_allclose(audio_files.read(tmp_path / "b.wav"), expected, atol=1e-4)
    if samples == 40009:
        for name, one in (("c", model), ("d", "stream-t")):
            target = tmp_path / f"{name}.wav"
            denoise_file(tmp_path / "a.wav", target, one, variables=variables, **alone)
        b, c, d = (audio_files.read(tmp_path / f"{name}.wav") for name in "bcd")
        np.testing.assert_array_equal(b, c)
        np.testing.assert_array_equal(b, d)


@pytest.mark.parametrize("rate", [8000, 44100, 96000])
@pytest.mark.parametrize("model", [Gain(0.5), Whole(0.5)])
def test_a_file_is_the_array_denoised(tmp_path, rate, model):
    """Across the seams of several blocks."""
    x = noise(25 * rate + 77)
    audio_writing.write(tmp_path / "a.wav", x, rate, subtype="FLOAT")
    denoise_file(tmp_path / "a.wav", tmp_path / "b.wav", model)
    found = audio_files.read(tmp_path / "b.wav")
    np.testing.assert_allclose(found, denoise(x, model, sample_rate=rate), atol=1e-5)


def test_separate_channels_do_not_meet(tmp_path):
    x = np.concatenate([noise(30011), sine(440, 16000, 30011 / 16000)], axis=1)
    for name, channels in (("both", x), ("left", x[:, :1]), ("right", x[:, 1:])):
        audio_writing.write(tmp_path / f"{name}.wav", channels, 16000, subtype="FLOAT")
        places = (tmp_path / f"{name}.wav", tmp_path / f"{name}2.wav")
        denoise_file(*places, "wiener", separate_channels=True)
    both, *each = (audio_files.read(tmp_path / f"{n}2.wav") for n in ("both", "left", "right"))
    np.testing.assert_allclose(both, np.concatenate(each, axis=1), atol=1e-6)


# ------------------------------------------------------------------------------- what is kept


@pytest.mark.parametrize(("suffix", "form", "subtype"), FORMATS)
@pytest.mark.parametrize("samples", [1, 30011])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_length_rate_channels_container_and_coding_are_kept(
    tmp_path, suffix, form, subtype, samples, rate
):
    src, dst = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix.upper()}"
    x = np.concatenate([sine(440, rate), -sine(660, rate)], axis=1)[:samples]
    soundfile.write(src, x, rate, subtype, format=form)
    denoise_file(src, dst, Gain(0.5))
    before, after = audio_files.info(src), audio_files.info(dst)
    assert before == after == (rate, 2, len(x), subtype, form)
    assert soundfile.read(dst)[0].shape == x.shape
    if samples > 1:
        error = (audio_files.read(dst) - 0.5 * x)[2000:-2000]
        assert np.abs(error).max() < (0.06 if subtype in ("VORBIS", "MPEG_LAYER_III") else 0.01)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_strength_0_gives_every_bit_back(tmp_path, subtype, rate):
    x = np.concatenate([noise(5000, 2), np.array([[-0.0, 0.0], [-1, 32767 / 32768]], np.float32)])
    audio_writing.write(tmp_path / "a.wav", x, rate, subtype=subtype)
    denoise_file(tmp_path / "a.wav", tmp_path / "b.wav", "wiener", strength=0)
    # Bits, for 0 equals -0.
    a, b = (audio_files.read(tmp_path / f"{name}.wav").view(np.int32) for name in "ab")
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("src", "subtype", "dst", "expected"),
    [
        ("a.wav", "PCM_24", "b.flac", ("FLAC", "PCM_24")),
        ("a.wav", "FLOAT", "b.flac", ("FLAC", "PCM_16")),
        ("a.wav", "FLOAT", "b.ogg", ("OGG", "VORBIS")),
        ("a.mp3", "MPEG_LAYER_III", "b.wav", ("WAV", "PCM_16")),
        ("a.wav", "IMA_ADPCM", "b.wav", ("WAV", "PCM_16")),
    ],
)
def test_another_container(tmp_path, src, subtype, dst, expected):
    soundfile.write(tmp_path / src, noise(5000), 16000, subtype)
    denoise_file(tmp_path / src, tmp_path / dst, Gain())
    found = audio_files.info(tmp_path / dst)
    assert (found.format, found.subtype) == expected
    assert found.frames == audio_files.info(tmp_path / src).frames


def test_clipping_is_reported(tmp_path):
    x = np.full((1000, 2), 0.1, np.float32)
    x[10:13], x[20, 1] = 0.9, -0.9
    for subtype, clipped in (("PCM_16", 7), ("PCM_24", 7), ("FLOAT", 0)):
        audio_writing.write(tmp_path / "a.wav", x, 16000, subtype=subtype)
        report = denoise_file(tmp_path / "a.wav", tmp_path / "b.wav", Gain(2.0), overwrite=True)
        assert report.clipped == clipped
        found = audio_files.read(tmp_path / "b.wav")
        np.testing.assert_allclose(found, np.clip(2 * x, -1, 1) if clipped else 2 * x, atol=1e-4)


def test_silence_stays(tmp_path):
    audio_writing.write(tmp_path / "a.flac", np.zeros((20000, 2), np.int16), 44100)
    denoise_file(tmp_path / "a.flac", tmp_path / "b.flac", "wiener")
    assert not audio_files.read(tmp_path / "b.flac", dtype=np.int16).any()


def test_progress(tmp_path):
    audio_writing.write(tmp_path / "a.wav", noise(25 * 16000 + 1), 16000)
    seen = []
    denoise_file(
        tmp_path / "a.wav",
        tmp_path / "b.wav",
        Gain(),
        progress=lambda *reported: seen.append(reported),
    )
    total = 25 * 16000 + 1
    assert seen == [(160000, total), (320000, total), (total, total)]


def test_a_rate_that_cannot_be_is_named_with_its_file(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(900), 360)
    refused(
        r"a\.wav has 360 Hz, which is not from 1000 to 768000 Hz; resample it first",
        tmp_path / "a.wav",
        tmp_path / "b.wav",
        "wiener",
    )
    with pytest.raises(ZooError, match=r"sample_rate is 16000\.5 Hz, which is not a whole number"):
        denoise(noise(900), "wiener", sample_rate=16000.5)


# ----------------------------------------------------------------------------- whole or not


def test_a_file_that_is_there_stays(tmp_path):
    audio_writing.write(tmp_path / "a.wav", noise(1000), 16000)
    before = (tmp_path / "a.wav").read_bytes()
    audio_writing.write(tmp_path / "b.wav", noise(7), 16000)
    for dst in ("a.wav", "b.wav"):
        refused("overwrite=True", tmp_path / "a.wav", tmp_path / dst, Gain())
    denoise_file(tmp_path / "a.wav", tmp_path / "b.wav", Gain(), overwrite=True)
    assert (tmp_path / "b.wav").read_bytes() == before
    denoise_file(tmp_path / "a.wav", tmp_path / "a.wav", Gain(0.5), overwrite=True)
    found = audio_files.read(tmp_path / "a.wav")
    np.testing.assert_allclose(found, 0.5 * noise(1000), atol=1e-4)
    only(tmp_path, "a.wav", "b.wav")


@pytest.mark.parametrize("overwrite", [False, True])
def test_ctrl_c_leaves_nothing(tmp_path, overwrite):
    audio_writing.write(tmp_path / "a.wav", noise(25 * 16000), 16000)
    before = (tmp_path / "a.wav").read_bytes()

    def stop(done, total):
        only(tmp_path, "a.wav", *(p.name for p in tmp_path.glob(".*.part")))
        raise KeyboardInterrupt

    dst = tmp_path / ("a.wav" if overwrite else "b.wav")
    with pytest.raises(KeyboardInterrupt):
        denoise_file(tmp_path / "a.wav", dst, Gain(), progress=stop, overwrite=overwrite)
    only(tmp_path, "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == before


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("share", [0.3, 0.97])
def test_a_truncated_file_is_refused(tmp_path, suffix, share):
    src = tmp_path / f"a.{suffix}"
    audio_writing.write(src, noise(25 * 16000), 16000)
    src.write_bytes(src.read_bytes()[: int(share * src.stat().st_size)])
    refused("truncated", src, tmp_path / "b.wav", Gain())
    only(tmp_path, src.name)


@pytest.mark.parametrize("suffix", ["flac", "ogg"])
def test_a_file_damaged_in_the_middle_is_refused(tmp_path, suffix):
    src = tmp_path / f"a.{suffix}"
    audio_writing.write(src, noise(25 * 16000), 16000)
    data = bytearray(src.read_bytes())
    at = len(data) * 2 // 3
    data[at : at + 50_000] = bytes(50_000)
    src.write_bytes(data)
    refused("truncated", src, tmp_path / f"b.{suffix}", Gain())
    only(tmp_path, src.name)


def test_files_that_are_no_recordings(tmp_path):
    (tmp_path / "text.wav").write_text("no sound at all\n" * 100)
    (tmp_path / "empty.wav").write_bytes(b"")
    soundfile.write(tmp_path / "none.wav", np.zeros((0, 1)), 16000)
    soundfile.write(tmp_path / "nan.wav", np.full((9, 1), np.nan), 16000, "FLOAT")
    (tmp_path / "folder").mkdir()
    names = sorted(path.name for path in tmp_path.iterdir())
    for name, match in (
        ("text.wav", "is not wav"),
        ("empty.wav", "is empty"),
        ("none.wav", "no samples"),
        ("nan.wav", "NaN"),
        ("folder", "is a folder; name files in it"),
        ("missing.wav", "No such file"),
    ):
        refused(match, tmp_path / name, tmp_path / "b.wav", Gain())
        only(tmp_path, *names)


def test_places_that_cannot_be_written(tmp_path):
    src = tmp_path / "a.wav"
    audio_writing.write(src, noise(1000), 16000)
    (tmp_path / "folder.wav").mkdir()
    refused("is a folder", src, tmp_path / "folder.wav", Gain(), overwrite=True)
    refused("No such file", src, tmp_path / "nowhere" / "b.wav", Gain())
    refused("end it in", src, tmp_path / "b.txt", Gain())
    refused("directory", src, src / "b.wav", Gain())
    only(tmp_path, "a.wav", "folder.wav")
    audio_writing.write(src, noise(1000), 96000)
    refused("96000 Hz", src, tmp_path / "b.mp3", Gain())
    only(tmp_path, "a.wav", "folder.wav")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(tmp_path):
    audio_writing.write(tmp_path / "a.wav", noise(1000), 16000)
    (tmp_path / "locked").mkdir(mode=0o500)
    refused("Permission", tmp_path / "a.wav", tmp_path / "locked" / "b.wav", Gain())


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_a_full_disk(tmp_path, suffix):
    """A limit on the size of files looks the same to who writes them."""
    src = tmp_path / f"a.{suffix}"
    audio_writing.write(src, noise(5 * 16000), 16000)
    dst = tmp_path / f"b.{suffix}"
    denoise_file(src, dst, Gain())
    size = dst.stat().st_size
    dst.unlink()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        for limit in (size // 2, size - 10):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            refused("cannot write .*: File too large; raise ulimit", src, dst, Gain())
            only(tmp_path, src.name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_mistakes_with_the_model(tmp_path, stream_t):
    path, _, variables = stream_t
    src, dst = tmp_path / "a.wav", tmp_path / "b.wav"
    audio_writing.write(src, noise(1000), 16000)
    for match, model, given in (
        ("unknown model 'weiner'; did you mean 'wiener'", "weiner", None),
        ("no weights of stream-s", "stream-s", None),
        ("not those of stream-b", "stream-b", variables),
        ("leave out", path, variables),
        ("no weight file", tmp_path / "missing.safetensors", None),
        ("no whole safetensors", src, None),
        ("denoises images", "unet-gray", None),
    ):
        refused(match, src, dst, model, variables=given)
    refused("strength", src, dst, "wiener", strength=-0.1)
    only(tmp_path, "a.wav")


# ------------------------------------------------------------------------------------- memory


@pytest.mark.slow
@pytest.mark.parametrize("model", ["stream-t", "spectral-gate"])
def test_a_long_file_goes_through_flat_memory(tmp_path, model):
    """20 minutes: what is resident after the first minute grows no further by 100 MB."""
    rate, minute = 16000, 60 * 16000
    with audio_writing.writing(tmp_path / "a.wav", rate, 1) as put:
        for seed in range(20):
            put(noise(minute, seed=seed))
    code = f"""
import jax
from zoo import denoise_file
from zoo.models import create_model, init_variables

def resident(done, total):
    pages = int(open("/proc/self/statm").read().split()[1])
    if done > {minute}:
        seen.append(pages * 4096)

seen, model, variables = [], create_model({model!r}), None
if {model!r} == "stream-t":
    variables = init_variables(model, jax.random.key(0), (1, 4096, 1))
report = denoise_file({str(tmp_path / "a.wav")!r}, {str(tmp_path / "b.wav")!r}, model,
                      variables=variables, progress=resident)
assert report.frames == 20 * {minute}
print(max(seen) - seen[0])
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100e6
