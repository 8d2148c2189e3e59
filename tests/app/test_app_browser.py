"""The page in a real browser: it needs Gradio, Playwright and the system's Chromium."""

import re
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

pytestmark = pytest.mark.slow

# Milliseconds; the first job compiles.
PATIENCE = 240_000
GOOD = np.random.default_rng(0).integers(0, 65536, (120, 160), np.uint16)


@pytest.fixture
def opened(server, browser):
    """Opens the page; in the end it must have asked nobody else, and complained of nothing."""
    asked, said, pages = [], [], []

    def tell(one):
        return f"{one.text} ({one.location['url']})"

    def see(width=1280, **options):
        page = browser.new_page(viewport={"width": width, "height": 900}, **options)
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda one: said.append(tell(one)) if one.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(server[0])
        page.get_by_role("button", name="Denoise", exact=True).first.wait_for()
        pages.append(page)
        return page

    yield see
    for page in pages:
        page.close()
    assert not said
    assert all(url.startswith((server[0], "data:", "blob:")) for url in asked)


def start(page, name="Denoise"):
    page.get_by_role("button", name=name, exact=True).locator("visible=true").click()


def bring(page, path):
    page.locator("input[type=file]").locator("nth=0").set_input_files(path)


def test_an_image_is_brought_compared_and_taken_away(opened, server, tmp_path):
    path = tmp_path / "scan.png"
    Image.fromarray(GOOD).save(path)
    page = opened()
    bring(page, path)
    page.get_by_text("160 x 120, gray, 16 bits").wait_for()
    start(page)
    link = page.locator(".zoo-download")
    link.wait_for()
    shown = page.locator("#zoo-image-slider img")
    shown.nth(1).wait_for()
    assert "tiny-1" in page.locator(".zoo-facts").inner_text()
    with page.expect_download() as waited:
        link.click()
    saved = tmp_path / "saved.png"
    waited.value.save_as(saved)
    assert waited.value.suggested_filename == "scan.denoised.png"
    with Image.open(saved) as image:
        assert (image.size, image.mode[:1]) == ((160, 120), "I")
    page.locator(".zoo-samples:visible button").nth(2).click()
    page.get_by_text("512 x 512, gray").wait_for()
    assert page.locator("#zoo-image-slider:visible").count() == 0
    page.close()
    visits = next((server[1] / "tmp").glob("zoo-app-*")) / "visits"
    end = time.monotonic() + 60
    while any(Path(one).is_file() for one in visits.rglob("*")):
        assert time.monotonic() < end, "the visitor's files stay"
        time.sleep(0.2)


def test_a_bad_file_is_a_line_and_the_next_one_is_taken(opened, tmp_path):
    bad, good = tmp_path / "bad.png", tmp_path / "good.png"
    bad.write_bytes(b"no picture at all")
    Image.fromarray(GOOD).save(good)
    page = opened()
    start(page)
    page.get_by_text("there is no file yet").wait_for()
    bring(page, bad)
    line = page.get_by_role("alert").filter(has_text="bad.png")
    line.wait_for()
    assert str(tmp_path) not in line.inner_text()
    assert "zoo-app" not in line.inner_text()
    assert page.locator(".file-preview").count() == 0
    bring(page, good)
    page.get_by_text("160 x 120, gray").wait_for()
    assert line.count() == 0


def test_a_recording_is_heard_before_and_after(opened, tmp_path):
    page = opened()
    page.get_by_role("tab", name="Audio").click()
    page.get_by_role("button", name="Voice and hum").click()
    page.get_by_text("8.0 s, 16 kHz, mono, 16 bits").wait_for()
    start(page)
    link = page.locator(".zoo-download:visible")
    link.wait_for()
    players = page.locator(".zoo-player audio:visible")
    assert players.count() == 2
    page.wait_for_function(
        "[...document.querySelectorAll('.zoo-player audio')].every((one) => one.duration === 8)"
    )
    with page.expect_download() as waited:
        link.click()
    waited.value.save_as(tmp_path / "saved.wav")
    reported = soundfile.info(tmp_path / "saved.wav")
    assert (reported.samplerate, reported.frames, reported.subtype) == (16000, 128000, "PCM_16")


def test_noise_is_added_and_measured(opened):
    page = opened()
    page.get_by_role("tab", name="Test with noise").click()
    page.locator(".zoo-samples:visible button").nth(2).click()
    page.get_by_text("512 x 512, gray").wait_for()
    start(page, "Add noise and denoise")
    table = page.locator(".zoo-scores:visible")
    table.wait_for()
    assert re.search(r"Noisy\s+20\.\d\d dB", table.inner_text())


def test_two_at_once_are_served_in_turn(opened):
    first, second = opened(), opened()
    for page in (first, second):
        page.locator(".zoo-samples:visible button").nth(2).click()
        page.get_by_text("512 x 512, gray").wait_for()
    for page in (first, second):
        start(page)
    for page in (first, second):
        page.locator(".zoo-download").wait_for()


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1280, "light")])
def test_it_fits_any_screen(opened, width, scheme):
    page = opened(width, color_scheme=scheme)
    for tab in ("Audio", "Test with noise", "Image"):
        page.get_by_role("tab", name=tab).click()
        page.locator(".zoo-blank:visible").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") == width
    color = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = int(re.search(r"\d+", color).group())
    assert (brightness > 128) == (scheme == "light")
