"""Which files are meant and what they are; nothing is decoded."""

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from input_files import Stream, make_image, put, sound

from zoo.cli import job_plan, paths
from zoo.data import file_kinds
from zoo.errors import ZooError


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF"])
def test_images_are_recognized_by_content(tmp_path, form):
    (tmp_path / "x.wav").write_bytes(make_image(form))
    assert file_kinds.kind_of(tmp_path / "x.wav") == file_kinds.IMAGE


@pytest.mark.parametrize(
    "form", ["WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF"]
)
def test_recordings_are_recognized_by_content(tmp_path, form):
    (tmp_path / "x.png").write_bytes(sound(form))
    assert file_kinds.kind_of(tmp_path / "x.png") == file_kinds.AUDIO


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        "hello world".encode("utf-16"),
        b"%PDF-1.7",
        b"PK\x03\x04",
        b"\xff\xff\xff\xff",
        b"BMI of all patients",
        b"BM\n",
        b"ID3 is how songs are tagged",
    ],
)
def test_other_content_is_recognized_by_its_suffix_or_not_at_all(tmp_path, data):
    for name, expected in (
        ("a.txt", None),
        ("a", None),
        ("a.PNG", file_kinds.IMAGE),
        ("a.mp3", file_kinds.AUDIO),
    ):
        (tmp_path / name).write_bytes(data)
        assert file_kinds.kind_of(tmp_path / name) == expected


def test_a_folder_stands_for_what_is_below_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(
        tmp_path / "in",
        {
            "b/two.wav": sound(),
            "a.png": make_image(),
            "notes.txt": b"x",
            ".hidden.png": make_image(),
            ".git/c.png": make_image(),
            "empty.jpg": b"",
        },
    )
    os.symlink(tmp_path / "in", tmp_path / "in" / "b" / "circle")
    found = paths.gather(["in"], word="denoised")
    assert [one.path.as_posix() for one in found.inputs] == [
        "in/a.png",
        "in/b/two.wav",
        "in/empty.jpg",
    ]
    assert [path.name for path in found.skipped] == ["notes.txt"]
    made = job_plan.plan(found, "out")
    assert [job.target.as_posix() for job in made] == [
        "out/a.png",
        "out/b/two.wav",
        "out/empty.jpg",
    ]
    made = job_plan.plan(found, None)
    assert made[1].target.as_posix() == "in.denoised/b/two.wav"


def test_outputs_below_the_input_are_no_inputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(
        tmp_path / "in",
        {"a.png": make_image(), "clean/a.png": make_image(), "b/c.png": make_image()},
    )
    found = paths.gather(["in"], word="denoised", output=Path("in/clean"))
    assert [one.path.as_posix() for one in found.inputs] == ["in/a.png", "in/b/c.png"]
    # But all of it where the outputs go into the folder itself.
    found = paths.gather(["in"], word="denoised", output=Path("in"))
    assert len(found.inputs) == 3


def test_patterns_keep_the_folders_behind_their_fixed_part(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "in", {"a.png": make_image(), "b/c.png": make_image(), "b/d.txt": b"x"})
    found = paths.gather(["in/**/*"], word="denoised")
    assert [job.target.as_posix() for job in job_plan.plan(found, "out")] == [
        "out/a.png",
        "out/b/c.png",
    ]
    assert [path.name for path in found.skipped] == ["d.txt"]
    assert [job.target.as_posix() for job in job_plan.plan(found, None)] == [
        "in/a.denoised.png",
        "in/b/c.denoised.png",
    ]


def test_a_name_may_look_like_a_pattern(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a[1].png").write_bytes(make_image())
    (one,) = paths.gather(["a[1].png"], word="denoised").inputs
    assert one.path == Path("a[1].png")


def test_what_is_named_and_cannot_be_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path, {"a.txt": b"x", "empty": b"", "b.png": make_image()})
    found = paths.gather(["a.txt", "empty", "none.png", "*.jpg", "b.png"], word="denoised")
    assert [one.problem.partition(";")[0] for one in found.inputs] == [
        "a.txt is neither an image nor audio",
        "empty is empty",
        "cannot read none.png: No such file or directory",
        "no file matches *.jpg",
        "",
    ]


def test_no_name_is_a_mistake(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path, {"a.png": make_image()})
    with pytest.raises(ZooError, match="empty"):
        paths.gather([""], word="w")
    with pytest.raises(ZooError, match="empty"):
        job_plan.plan(paths.gather(["a.png"], word="w"), "")


def test_standard_input_is_a_file(tmp_path, monkeypatch):
    """Its format is recognized by its content, and it goes to standard output by default."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", Stream(make_image("JPEG")))
    monkeypatch.setattr("sys.stdout", Stream())
    found = paths.gather(["-"], word="w")
    (one,) = found.inputs
    assert (one.kind, one.place.name) == (file_kinds.IMAGE, "standard input.jpg")
    assert one.path.read_bytes() == make_image("JPEG")
    assert not one.path.is_relative_to(tmp_path)
    (job,) = job_plan.plan(found, None)
    assert (job.stream, job.target.name) == ("-", "standard output.jpg")
    (job,) = job_plan.plan(found, "-", form="png")
    assert job.target.name == "standard output.png"
    (job,) = job_plan.plan(found, "x.tif")
    assert (job.stream, job.target) == ("", Path("x.tif"))
    for output in ("/dev/stdout", "/dev/null"):
        assert job_plan.plan(found, output)[0].stream == output
    monkeypatch.setattr("sys.stdout", Stream(terminal=True))
    with pytest.raises(ZooError, match="standard output is a terminal"):
        job_plan.plan(found, "-")


@pytest.mark.parametrize(
    ("stream", "reported"),
    [
        (Stream(), "standard input is empty"),
        (Stream(b"hello"), "standard input is neither an image nor audio"),
        (Stream(terminal=True), "standard input is a terminal"),
        (None, "standard input is a terminal"),
    ],
)
def test_standard_input_that_is_none(monkeypatch, stream, reported):
    monkeypatch.setattr("sys.stdin", stream)
    with pytest.raises(ZooError, match=reported):
        paths.gather(["-"], word="w")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_are_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path, {"in/a.png": make_image()})
    os.mkfifo("in/pipe.png")
    os.mkfifo("in/other")
    os.symlink("nowhere", "in/z.png")
    for names in (["in"], ["in/**/*"]):
        found = paths.gather(names, word="w")
        assert [one.path.name for one in found.inputs] == ["a.png", "pipe.png", "z.png"]
        assert [one.problem for one in found.inputs] == [
            "",
            "cannot read in/pipe.png: it is a pipe or a device, not a file; save its output as a "
            "file",
            "cannot read in/z.png: No such file or directory; check the path",
        ]
        assert [path.name for path in found.skipped] == ["other"]


def test_folders_in_circles_are_searched_once(tmp_path, monkeypatch):
    """Five folders with links to each other: 5! ways, and endless ones."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path, {f"in/{a}/{a}.png": make_image() for a in "abcde"})
    for a in "abcde":
        for b in "abcde":
            os.symlink(tmp_path / "in" / b, f"in/{a}/to-{b}")
    for names in (["in"], ["in/**/*.png"], ["in/**"]):
        found = paths.gather(names, word="w")
        assert [one.path.as_posix() for one in found.inputs] == [f"in/{a}/{a}.png" for a in "abcde"]


@pytest.mark.parametrize("names", [["in"], ["in/**/*.png"]])
def test_a_folder_that_cannot_be_read_is_a_problem(tmp_path, monkeypatch, names):
    monkeypatch.chdir(tmp_path)
    put(tmp_path, {"in/a.png": make_image(), "in/shut/b.png": make_image()})
    scan = os.scandir

    def closed(path):
        if os.fspath(path).endswith("shut"):  # permissions do not stop root
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", closed)
    first, second = paths.gather(names, word="w").inputs
    assert (first.path.name, first.problem) == ("a.png", "")
    assert second.problem.startswith("cannot read the folder in/shut: Permission denied; ")


def test_nothing_to_do_is_a_mistake(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"x")
    with pytest.raises(ZooError, match=r"no image and no audio file in .* among 1 files"):
        paths.gather([str(tmp_path)], word="denoised")


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"\0\0\0\x1cftypM4A \0\0\2\0", file_kinds.AUDIO),
        (b"\0\0\0\x14ftypqt  \0\0\2\0", file_kinds.AUDIO),
        (b"\x1a\x45\xdf\xa3\xa3\x42\x86\x81\1", file_kinds.AUDIO),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9", file_kinds.AUDIO),
        (b"RIFF|F\0\0AVI LIST", file_kinds.AUDIO),
        (b"\xff\xf1\x50\x80\x26\x3f\xfc\xdc", file_kinds.AUDIO),
        # UTF-16, and images in the same container as films.
        (b"\xff\xfea\0b\0c\0", None),
        (b"\0\0\0\x1cftypheic\0\0\0\0", file_kinds.IMAGE),
        (b"\0\0\0\x18ftypcrx \0\0\0\1", file_kinds.IMAGE),
    ],
)
def test_sound_of_other_containers_is_recognized_by_its_first_bytes(tmp_path, head, expected):
    (tmp_path / "x").write_bytes(head + bytes(20))
    assert file_kinds.kind_of(tmp_path / "x") == expected


def test_files_of_hospitals_and_laboratories_keep_their_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.zeros((20, 24), np.int16))
    image = bytes(128) + b"DICM" + bytes(300)
    report = bytes(128) + b"DICM\2\0\2\0UI\x1c\0" + b"1.2.840.10008.5.1.4.1.1.88.11\0" + bytes(200)
    volume = gzip.compress(struct.pack("<i", 348) + bytes(340) + b"n+1\0" + bytes(99))
    for name, data in {
        "study/IM1": image,
        "study/1.2.840.5": image,
        "study/report.dcm": report,
        "study/v.NII.gz": volume,
        "v.nii.gz": volume,
        "v.map": b"{}",
    }.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(data)
    found = paths.gather(["study", "v.nii.gz", "x.npy"], word="denoised", output=Path("out"))
    assert [str(one.beside) for one in found.inputs] == [
        "study.denoised/1.2.840.5.dcm",
        "study.denoised/IM1.dcm",
        "study.denoised/v.NII.gz",
        "v.denoised.nii.gz",
        "x.denoised.npy",
    ]
    assert found.skipped == [Path("study/report.dcm")]
    jobs = job_plan.plan(found, None, extra="noise")
    assert [job.extra.name for job in jobs[-2:]] == [
        "v.denoised.noise.nii.gz",
        "x.denoised.noise.npy",
    ]
    jobs = job_plan.plan(found, "out", form="nii.gz")
    assert [str(job.target) for job in jobs[-2:]] == ["out/v.nii.gz", "out/x.nii.gz"]
    # Another kind of file that is called like one of these.
    assert paths.gather(["."], word="w").skipped == [Path("study/report.dcm"), Path("v.map")]
