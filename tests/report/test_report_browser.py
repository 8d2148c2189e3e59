"""The page in a real browser: it needs Playwright and the system's Chromium."""

import made_runs
import pytest

from zoo import report

pytestmark = pytest.mark.slow


@pytest.fixture
def opened(browser):
    """Opens a page; at the end it must have asked for nothing and complained of nothing."""
    pages, said = [], []

    def see(path, width=1280, **options):
        page = browser.new_page(viewport={"width": width, "height": 900}, **options)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url[:60]))
        page.goto(path.absolute().as_uri())
        pages.append(page)
        return page

    yield see
    for page in pages:
        page.close()
    assert all(line.startswith(("file:", "data:")) for line in said), said
    assert sum(line.startswith("file:") for line in said) == len(pages)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return report.write(made_runs.of_images(tmp_path_factory.mktemp("runs") / "unet")).path


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return report.write(made_runs.of_sound(tmp_path_factory.mktemp("runs") / "stream")).path


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_any_screen(opened, images, width, scheme):
    page = opened(images, width, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    color = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = int(color.removeprefix("rgb(").partition(",")[0])
    assert (brightness > 128) == (scheme == "light")
    assert page.evaluate("[...document.images].every((image) => image.naturalWidth === 90)")


def test_levels_are_tabs(opened, images):
    page = opened(images)
    shown = page.locator(".pane:visible img")
    assert [tab.inner_text() for tab in page.locator("[role=tab]").all()] == [
        *("sigma 15/255", "sigma 50/255"),
    ]
    assert shown.get_attribute("alt").endswith("sigma 15/255")
    page.locator("[role=tab]").nth(1).click()
    assert shown.get_attribute("alt").endswith("sigma 50/255")
    page.keyboard.press("ArrowRight")
    assert shown.get_attribute("alt").endswith("sigma 15/255")


def test_a_sheet_is_seen_nearer_by_a_click(opened, sound):
    page = opened(sound, 900)
    sheet = page.locator(".pane:visible .sheet img").first
    before = sheet.bounding_box()["width"]
    sheet.click()
    assert before < 900 < sheet.bounding_box()["width"] == 1300


def test_without_a_script_all_is_there(opened, images):
    page = opened(images, java_script_enabled=False)
    assert page.locator(".pane:visible").count() == 2


def test_a_heading_sorts(opened, images):
    page = opened(images)
    page.locator("#singles summary").click()
    cells = page.locator("#singles tbody tr td:nth-of-type(2)")
    heading = page.locator("#singles th button").nth(2)
    for sign in (1, -1):
        heading.click()
        found = [sign * float(text) for text in cells.all_inner_texts()]
        assert found == sorted(found)
        assert len(set(found)) == 4


def test_sound_plays_and_the_next_goes_on_from_there(opened, sound):
    page = opened(sound)
    players = page.locator(".pane:visible audio")
    assert players.count() == 6
    lengths = page.evaluate(
        """() => Promise.all([...document.querySelectorAll("audio")].map((audio) =>
             audio.readyState ? audio.duration : new Promise((done) => {
               audio.onloadedmetadata = () => done(audio.duration);
               audio.onerror = () => done(-1);
             })))"""
    )
    assert lengths == pytest.approx([0.1] * 12, abs=1e-3)
    places = page.evaluate(
        """async () => {
             const [first, second] = document.querySelectorAll(".pane:not(.away) audio");
             first.loop = second.loop = first.muted = second.muted = true;
             await first.play();
             first.currentTime = 0.05;
             await second.play();
             return [first.paused, second.paused, second.currentTime >= 0.05];
           }"""
    )
    assert places == [True, False, True]
