"""The page of a run: whole, closed in itself, and true to the files."""

import base64
import functools
import json
import re

import made_runs
import pytest
from parsed_page import Page, number

from zoo import cli, report
from zoo.errors import ZooError
from zoo.report.run_facts import duration, fixed
from zoo.report.run_files import read, sheets, wavs


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return made_runs.of_images(tmp_path_factory.mktemp("runs") / "unet")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return made_runs.of_sound(tmp_path_factory.mktemp("runs") / "stream")


@functools.cache
def text_of(finished):
    """The page of one of the fixtures' runs, which no test changes."""
    return report.write(finished).path.read_text()


def page_of(workdir, path=None, **options):
    return Page(report.write(workdir, path, **options).path.read_text())


@pytest.fixture(params=["photos", "sound"])
def finished(request):
    return request.getfixturevalue(request.param)


def test_it_needs_nothing_from_outside(finished):
    text = text_of(finished)
    page = Page(text)
    for tag, attributes in page.elements:
        for name in ("src", "srcset", "poster", "data", "href", "action"):
            assert attributes.get(name, "data:").startswith("data:"), (tag, name)
    assert "link" not in dict(page.elements)
    words = re.sub(r'"data:[^"]*"', "", text)
    assert not re.search(r"https?:|//|url\(|@import", words)
    (policy,) = [a["content"] for a in page.all("meta") if "http-equiv" in a]
    assert policy.startswith("default-src 'none'")


def test_what_files_say_is_escaped(finished):
    page = Page(text_of(finished))
    assert len(page.all("script")) == 1
    assert not any("onerror" in attributes for _, attributes in page.elements)
    assert not any(attributes.get("src") == "x" for _, attributes in page.elements)
    assert page.text.count(made_runs.HOSTILE) >= 3  # the command, the config, the protocol


def test_a_title_cannot_end_the_title(tmp_path):
    name = "</title><script>alert(3)</script>"
    page = page_of(made_runs.begun(tmp_path / "run", name=name))
    assert len(page.all("script")) == 1
    assert page.text.count(name) == 3  # title, heading, config


def test_the_table_is_that_of_the_files(finished):
    by_level = json.loads((finished / "eval" / "by_level.json").read_text())
    summary = json.loads((finished / "eval" / "summary.json").read_text())
    head, *rows = Page(text_of(finished)).tables[0]
    metrics = list(summary["model"])
    assert len(head) == 1 + len(metrics)
    for means in (*by_level.values(), summary):
        heading = rows.pop(0)
        assert len(heading) == 1
        shown = [rows.pop(0) for _ in means]
        for (method, figures), ((name, _), *cells) in zip(means.items(), shown, strict=True):
            assert name == method
            for (text, _), true in zip(cells, figures.values(), strict=True):
                if true is None:
                    assert number(text) is None
                    continue
                digits = len(text.partition(".")[2])
                assert digits >= 2
                assert number(text) == pytest.approx(true, abs=0.5001 * 10**-digits)
        for at, metric in enumerate(metrics):
            known = {m: row[metric] for m, row in means.items() if row[metric] is not None}
            best = (min if metric in ("mse", "mae") else max)(known.values())
            bold = {name for (name, _), *cells in shown if cells[at][1]}
            assert bold == {m for m, value in known.items() if value == best}
    assert not rows


def test_every_single_image_has_a_row(photos):
    _, *rows = Page(text_of(photos)).tables[1]
    assert len(rows) == 4
    assert [cell for cell, _ in rows[0][:5]] == ["15", "cat", "33.41", "31.00", "24.61"]
    assert [bold for _, bold in rows[0][:5]] == [False, False, True, False, False]
    assert rows[1][1][0] == made_runs.HOSTILE


def test_facts_of_the_record_are_shown(photos):
    text = Page(text_of(photos)).text
    # 3 * 5 and 4 parameters; statistics are none. 3725 s are an hour, two minutes and more.
    for reported in ("19unet-tiny", "1 h 2 min", "0123456789ab", "9.8.7", "a device", "11 images"):
        assert reported in text


def test_sheets_are_there_by_level(photos):
    images = Page(text_of(photos)).all("img")
    assert [image["alt"][-12:] for image in images] == ["sigma 15/255", "sigma 50/255"]
    data = base64.b64decode(images[0]["src"].removeprefix("data:image/png;base64,"))
    assert data == (photos / "gallery_15.png").read_bytes()
    assert (images[0]["width"], images[0]["height"]) == ("90", "60")


def test_wavs_can_be_heard(sound):
    page = Page(text_of(sound))
    players = page.all("audio")
    assert len(players) == 2 * 2 * 3
    assert [player["aria-label"] for player in players[:3]] == ["clean", "noisy", "model"]
    data = base64.b64decode(players[2]["src"].removeprefix("data:audio/wav;base64,"))
    assert data == (sound / "eval" / "listen" / "-5" / "song_model.wav").read_bytes()
    # Each tells its figure; the second recording's is one more.
    for figure in ("\N{MINUS SIGN}1.2", "\N{MINUS SIGN}0.2", "14.3", "15.3"):
        assert f"model{figure} dB" in page.text


def test_files_are_those_of_the_manifest(tmp_path):
    """Whatever their names; none outside the workdir is read."""
    workdir = made_runs.of_sound(tmp_path / "run")
    out = workdir / "eval"
    (out / "spectrograms_-5.png").rename(out / "a sheet.png")
    (out / "listen" / "10" / "talk_model.wav").rename(out / "b.wav")
    (tmp_path / "secret.wav").write_bytes((out / "b.wav").read_bytes())
    level = {"value": 10.0, "unit": "dB", "name": "SNR"}
    levels = [{"label": "-5", **level, "value": -5.0}, {"label": "10", **level}]
    about = {"level": "10", "example": "talk", "method": "model"}
    none = {"example": None, "method": None}
    files = [
        {"file": "a sheet.png", "kind": "spectrograms", "level": "-5", **none},
        {"file": "b.wav", "kind": "listen", **about},
        {"file": "../../secret.wav", "kind": "listen", **about, "method": "clean"},
    ]
    manifest = {"levels": levels, "files": files}
    (out / "manifest.json").write_text(json.dumps(manifest))
    run = read(workdir)
    assert [str(run.level(label)) for label in run.levels] == ["SNR -5 dB", "SNR 10 dB"]
    assert sheets(run) == [("-5", "Spectrograms", out / "a sheet.png")]
    assert [(*one[:2], one.files) for one in wavs(run)] == [
        ("10", "talk", {"model": out / "b.wav"}),
    ]
    page = page_of(workdir)
    assert len(page.all("audio")) == 1
    (out / "manifest.json").write_text(json.dumps({"levels": levels, "files": [{"file": 3}]}))
    with pytest.raises(ZooError, match=r"manifest\.json is damaged; evaluate again"):
        read(workdir)


def test_without_a_manifest_there_are_scores_and_a_note(tmp_path):
    """As of earlier versions: what a file shows is not guessed from its name."""
    workdir = made_runs.of_images(tmp_path / "run")
    (workdir / "eval" / "manifest.json").unlink()
    written = report.write(workdir)
    page = Page(written.path.read_text())
    assert not page.all("img")
    assert page.tables
    assert "--mode=eval" in written.notes[0]
    assert written.notes[0] in page.text


@pytest.mark.matrix
def test_a_large_run_gives_a_small_page(tmp_path):
    workdir = made_runs.of_sound(tmp_path / "run", seconds=4)
    whole = report.write(workdir)
    assert whole.size > 1_500_000
    assert not whole.notes
    small = report.write(workdir, tmp_path / "small.html", limit=1_000_000)
    assert small.size <= 1_000_000
    assert "of 4 sets of wavs are left out" in small.notes[-1]
    page = Page(small.path.read_text())
    assert 0 < len(page.all("audio")) < 12
    assert small.notes[-1] in page.text


def test_a_run_at_work_has_a_report(tmp_path):
    workdir = made_runs.begun(tmp_path / "run")
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write('{"step": 7, "lo')
    written = report.write(workdir)
    page = Page(written.path.read_text())
    assert "not finished: 6 of 10 steps" in page.text
    assert "not evaluated yet" in page.text
    assert len(page.all("svg")) == 4
    assert not page.tables
    assert len(written.notes) == 2


def test_a_run_that_has_only_begun_has_one_too(tmp_path):
    workdir = made_runs.begun(tmp_path / "run")
    (workdir / "metrics.jsonl").unlink()
    page = page_of(workdir)
    assert not page.all("svg")
    assert "No step is logged yet" in page.text


def test_a_broken_sheet_is_reported(tmp_path):
    workdir = made_runs.of_images(tmp_path / "run")
    sheet = workdir / "gallery_15.png"
    sheet.write_bytes(sheet.read_bytes()[:500])
    written = report.write(workdir)
    assert written.notes == ["Not readable, and so not shown: gallery_15.png."]
    assert len(Page(written.path.read_text()).all("img")) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.json", '{"name": '),
        ("config.json", "[]"),
        ("metrics.jsonl", '{"step": 1}\n{"st\n{"step": 3}\n'),
        ("metrics.jsonl", "[1]\n"),
        ("weights.safetensors", "no weights"),
        ("eval/summary.json", '{"model": 3}'),
        ("eval/summary.json", '{"model": {"psnr": "high"}}'),
        ("eval/by_level.json", '{"15": []}'),
        ("eval/protocol.json", "\ufffe{"),
        ("eval/per_image.csv", "a,b\n1,2\n"),
        ("eval/per_image.csv", "level,picture,method,psnr\n1,2\n"),
    ],
)
def test_damage_is_one_line(tmp_path, name, text):
    workdir = made_runs.of_images(tmp_path / "run")
    (workdir / name).write_text(text)
    with pytest.raises(ZooError, match=re.escape(str(workdir / name))) as caught:
        report.write(workdir)
    assert "\n" not in str(caught.value)
    assert not (workdir / "report.html").exists()


def test_what_is_no_run_is_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for name in ("missing", "file"):
        with pytest.raises(ZooError, match=r"there is no workdir .*" + name):
            report.write(tmp_path / name)
    with pytest.raises(ZooError, match=r"no config\.json"):
        report.write(tmp_path / "empty")
    workdir = made_runs.begun(tmp_path / "run")
    with pytest.raises(ZooError, match=r"end it in \.html"):
        report.write(workdir, workdir / "config.json")
    with pytest.raises(ZooError, match="cannot write"):
        report.write(workdir, tmp_path / "no" / "folder.html")


def test_the_command_writes_it(photos, capsys, tmp_path):
    place = tmp_path / "page.html"
    place.write_text("an older one")
    assert cli.main(["report", str(photos), "-o", str(place)]) == 0
    assert str(place) in capsys.readouterr().out
    assert place.read_bytes() == report.write(photos).path.read_bytes()
    assert cli.main(["report", str(tmp_path / "missing")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_numbers_read_well():
    assert fixed(-0.5, 1) == "\N{MINUS SIGN}0.5"
    assert fixed(2.0, 1, sign=True) == "+2.0"
    assert fixed(None, 2) == fixed(float("nan"), 2) == "\N{EN DASH}"
    assert [duration(s) for s in (7.4, 61, 3599.6)] == ["7 s", "1 min 1 s", "1 h 0 min"]
