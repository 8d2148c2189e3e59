"""What the buttons do, without a browser: the files that come out, and what is said of them."""

import app_models
import numpy as np
import pytest
import soundfile
import tifffile
from app_files import photo
from PIL import Image
from skimage import metrics as reference

from zoo.app import appearance, audio_tab, image_tab, limits, trial_tab
from zoo.app.choices import AUTO, Models, Samples
from zoo.app.jobs import Stopped
from zoo.errors import ZooError


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    return Models([app_models.save(folder, 3), app_models.save(folder, 1)])


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return Samples(tmp_path_factory.mktemp("samples"))


def steps(seen=None):
    seen = [] if seen is None else seen
    return lambda done, whole: seen.append((done, whole))


def test_models_are_chosen_by_channels(models):
    assert models.labels("image")[:2] == ["tiny-3", "tiny-1"]
    assert {"wiener", "spectral-gate"} <= {*models.labels("audio")}
    assert models.choose(AUTO, "image", 1).label == "tiny-1"
    assert models.choose(AUTO, "image", 3).label == "tiny-3"
    assert models.choose("tiny-1", "image", 3).label == "tiny-1"
    assert models.takes_level("tiny-1")
    assert models.takes_level(AUTO)
    with pytest.raises(ZooError, match="choose again"):
        models.choose("wiener", "image")


def test_two_files_of_one_name_are_distinguished(tmp_path):
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    made = Models([app_models.save(folder) for folder in folders])
    assert made.labels("image")[:2] == ["a/tiny-3", "b/tiny-3"]


def test_a_bad_weight_file_is_reported(tmp_path):
    with pytest.raises(ZooError, match="there is no weight file"):
        Models([tmp_path / "none.safetensors"])


def test_a_image_keeps_its_format_and_what_is_in_it(tmp_path, models):
    exif = Image.Exif()
    exif[271] = "Maker"
    path = photo(tmp_path / "photo.jpg", quality=90, exif=exif)
    seen = []
    settings = {"model": AUTO, "level": 25.0, "strength": 1.0}
    found = image_tab.denoise(path, tmp_path, models, steps(seen), **settings)
    assert found.path.name == "photo.denoised.jpg"
    with Image.open(found.path) as image:
        assert (image.format, image.size) == ("JPEG", (60, 40))
        assert image.getexif()[271] == "Maker"
    assert ("Noise", "25.0 / 255") in found.facts
    assert ("Model", "tiny-3") in found.facts
    assert seen[-1] == (1, 1)
    for shown in found.shown.values():
        assert shown.detail is None
        with Image.open(shown.whole) as image:
            assert image.size == (60, 40)


def test_the_noise_is_estimated_unless_asked(tmp_path, models, samples):
    path = samples.noisy_images[2]
    settings = {"model": AUTO, "level": None, "strength": 0.0}
    facts = dict(image_tab.denoise(path, tmp_path, models, steps(), **settings).facts)
    assert 20 < float(facts["Noise, estimated"].split()[0]) < 30


def test_a_dark_image_is_shown_as_the_model_sees_it(tmp_path, models):
    dark = np.random.default_rng(0).normal(200, 5, (40, 60)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "dark.tif", dark)
    settings = {"model": AUTO, "level": None, "strength": 0.0}
    found = image_tab.denoise(tmp_path / "dark.tif", tmp_path, models, steps(), **settings)
    assert ("Range", "0 to 255.996") in found.facts
    for shown in (*found.shown.values(), image_tab.look(tmp_path / "dark.tif", tmp_path)[0]):
        with Image.open(shown.whole) as image:
            assert np.mean(np.asarray(image)) == pytest.approx(200, abs=2)


def test_a_large_image_is_shown_small_and_in_part(tmp_path):
    source = np.zeros((1000, 2800, 3), np.uint16)
    source[:, 1400:] = 65535
    found = image_tab.view(source, tmp_path, "before")
    with Image.open(found.whole) as whole, Image.open(found.detail) as detail:
        assert whole.size == (1400, 500)
        assert detail.size == (620, 414)
        values = np.asarray(detail)
        assert values[200, 60].max() < 5
        assert values[200, 560].min() > 250


def test_alpha_is_not_shown_and_gray_stays_gray(tmp_path):
    source = np.random.default_rng(0).integers(0, 256, (20, 30, 2), np.uint8)
    found = image_tab.view(source, tmp_path, "before")
    with Image.open(found.whole) as image:
        assert np.array_equal(np.asarray(image), source[..., 0])


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n broken"])
def test_a_bad_image_is_one_line(tmp_path, content):
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(ZooError) as caught:
        image_tab.look(path, tmp_path)
    said = limits.explain(caught.value, path)
    assert "bad.png" in said
    assert "/" not in said.replace("png/", "")
    assert "\n" not in said


def test_a_recording_keeps_rate_channels_and_coding(tmp_path, models):
    path = tmp_path / "talk.flac"
    x = np.random.default_rng(0).uniform(-0.1, 0.1, (8000, 2))
    soundfile.write(path, x, 44100, subtype="PCM_24")
    assert audio_tab.describe(path) == "0.2 s, 44.1 kHz, stereo, 24 bits"
    found = audio_tab.denoise(path, tmp_path, models, steps(), model="wiener", strength=1.0)
    reported = soundfile.info(found.path)
    assert (reported.samplerate, reported.channels, reported.frames) == (44100, 2, 8000)
    assert (reported.subtype, reported.format) == ("PCM_24", "FLAC")


@pytest.mark.matrix
def test_strength_nought_leaves_a_recording(tmp_path, models, samples):
    path = samples.noisy_recordings["Voice and hum"]
    found = audio_tab.denoise(path, tmp_path, models, steps(), model=AUTO, strength=0.0)
    assert np.array_equal(soundfile.read(path)[0], soundfile.read(found.path)[0])


def test_times_read_like_times():
    assert [audio_tab.clock(s) for s in (7.44, 61, 3723)] == ["7.4 s", "1:01", "1:02:03"]


@pytest.mark.slow
def test_a_trial_of_a_image_says_what_scikit_image_says(tmp_path, models, samples):
    path = samples.clean_images[0]
    found = trial_tab.run(
        path, tmp_path, models, steps(), kind="Gaussian", level=20, model=AUTO, strength=0.0
    )
    clean, noisy = (np.asarray(Image.open(place.whole)) for place in [*found.shown.values()][:2])
    head, row, same = found.scores
    assert head == ("", "PSNR", "SSIM")
    psnr = reference.peak_signal_noise_ratio(clean, noisy)
    assert float(row[1].split()[0]) == pytest.approx(psnr, abs=0.03)
    assert same[1:] == row[1:]


@pytest.mark.slow
def test_a_trial_of_a_recording_is_better_after_than_before(tmp_path, models, samples):
    path = samples.clean_recordings["Voice"]
    settings = {"kind": "White", "level": 5, "model": "wiener", "strength": 1.0}
    found = trial_tab.run(path, tmp_path, models, steps(), **settings)
    before, after = (float(row[1].split()[0]) for row in found.scores[1:])
    clean, noisy = (soundfile.read(place)[0] for place in [*found.shown.values()][:2])
    along = clean * np.dot(noisy, clean) / np.dot(clean, clean)
    ratio = 10 * np.log10(np.square(along).sum() / np.square(noisy - along).sum())
    assert before == pytest.approx(ratio, abs=0.1)
    assert after > before + 1


@pytest.mark.slow
def test_every_noise_runs_at_its_usual_level(tmp_path, models):
    path = photo(tmp_path / "photo.png", (32, 32))
    for kind, one in trial_tab.NOISES["image"].items():
        assert one.low <= one.usual <= one.high
        room = tmp_path / kind
        room.mkdir()
        settings = {"kind": kind, "level": one.usual, "model": AUTO, "strength": 0.0}
        found = trial_tab.run(path, room, models, steps(), **settings)
        assert found.scores[1][0] == "Noisy"


def test_what_is_no_clean_file_is_reported(tmp_path, models):
    with pytest.raises(ZooError, match="neither an image nor audio"):
        trial_tab.modality(tmp_path / "letter.txt")
    settings = {"kind": "Hum", "level": 5, "model": AUTO, "strength": 1.0}
    with pytest.raises(ZooError, match="Hum noise is not for this file"):
        trial_tab.run(photo(tmp_path / "a.png"), tmp_path, models, steps(), **settings)


def test_stopping_ends_a_image_and_leaves_no_file(tmp_path, models):
    path = photo(tmp_path / "photo.png")

    def stop(done, whole):
        raise Stopped

    settings = {"model": AUTO, "level": 25.0, "strength": 1.0}
    with pytest.raises(Stopped):
        image_tab.denoise(path, tmp_path, models, stop, **settings)
    assert [one.name for one in tmp_path.iterdir()] == ["photo.png"]


def test_text_is_escaped_and_addresses_are_quoted(tmp_path):
    path = tmp_path / '<b>"&?#.png'
    for piece in (appearance.download(path), appearance.image(path, "<i>"), appearance.say("<i>")):
        assert "<b>" not in piece
        assert "<i>" not in piece.replace('<i style="width', "")
    assert "?" not in appearance.url(path)
    assert "#" not in appearance.url(path)
