"""Where outputs go; nothing is written."""

import os
from pathlib import Path

import pytest
from input_files import Stream, make_image, put, sound

from zoo import cli
from zoo.cli import job_plan, paths
from zoo.errors import ZooError


def test_a_folder_called_dot_has_its_own_name(tmp_path, monkeypatch):
    put(tmp_path / "in", {"a.png": make_image()})
    monkeypatch.chdir(tmp_path / "in")
    (job,) = job_plan.plan(paths.gather(["."], word="denoised"), None)
    assert job.target == tmp_path / "in.denoised" / "a.png"


def test_a_stream_takes_one_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path, {"in/a.png": make_image(), "in/b.png": make_image()})
    monkeypatch.setattr("sys.stdout", Stream())
    with pytest.raises(ZooError, match="- takes one output, and there are several"):
        job_plan.plan(paths.gather(["in"], word="w"), "-")
    with pytest.raises(ZooError, match="- takes one output"):
        job_plan.plan(paths.gather(["in/a.png"], word="w"), "-", extra="noise")


def test_a_store_may_end_in_a_slash(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path, {"a.png": make_image()})
    (job,) = job_plan.plan(paths.gather(["a.png"], word="w"), "b.zarr/")
    assert job.target == Path("b.zarr")
    (job,) = job_plan.plan(paths.gather(["a.png"], word="w"), "b/")
    assert job.target == Path("b/a.png")


def test_the_format_of_outputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path, {"in/a.png": make_image(), "in/b.jpg": make_image("JPEG"), "in/c.wav": sound()})
    found = paths.gather(["in"], word="w")
    made = job_plan.plan(found, "out", form="TIF")
    assert [job.target.name for job in made] == ["a.tif", "b.tif", "c.wav"]
    assert [job.target.name for job in job_plan.plan(found, None, form="flac")][2] == "c.flac"
    with pytest.raises(ZooError, match="unknown format 'tga' of outputs; choose from aif, "):
        job_plan.plan(found, "out", form="tga")
    with pytest.raises(ZooError, match=r"x.jpg does not end in .png"):
        job_plan.plan(paths.gather(["in/a.png"], word="w"), "x.jpg", form="png")


def test_one_file_has_one_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path, {"a.png": make_image(), "b.png": make_image(), "there/x.txt": b""})
    one, two = (paths.gather(names, word="noisy") for names in (["a.png"], ["a.png", "b.png"]))

    def targets(found, output):
        return [job.target.as_posix() for job in job_plan.plan(found, output)]

    assert targets(one, None) == ["a.noisy.png"]
    assert targets(one, "x.jpg") == ["x.jpg"]
    assert targets(one, "x") == targets(one, "x/") == ["x/a.png"]
    assert targets(one, "x.png/") == ["x.png/a.png"]
    assert targets(one, "there") == ["there/a.png"]
    assert targets(two, "x") == ["x/a.png", "x/b.png"]
    assert job_plan.plan(one, "x.jpg", extra="noise")[0].extra == Path("x.noise.jpg")
    for output in ("x.png", "a.png"):
        with pytest.raises(ZooError, match="several outputs need a folder"):
            targets(two, output)


def test_what_cannot_be_written_becomes_what_can(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = {
        "a.gif": ("GIF", "a.denoised.png"),
        "b.mpo": ("JPEG", "b.denoised.jpg"),
        "c.jfif": ("JPEG", "c.denoised.jfif"),
        "d.jpe": ("JPEG", "d.denoised.jpe"),
        "e.HEIC": ("AVIF", "e.denoised.png"),
        "f": ("JPEG", "f.denoised.jpg"),
        "g.2024": ("TIFF", "g.2024.denoised.tif"),
        "h.2024": ("WEBP", "h.2024.denoised.webp"),
    }
    put(tmp_path, {name: make_image(form) for name, (form, _) in named.items()})
    put(tmp_path, {"z.aiff": sound("AIFF"), "y.wma": sound()})
    made = job_plan.plan(paths.gather([*named, "z.aiff", "y.wma"], word="denoised"), None)
    assert not [job.problem for job in made if job.problem]
    assert [job.target.name for job in made] == [out for _, out in named.values()] + [
        "z.denoised.aiff",
        "y.denoised.wav",
    ]
    (job,) = job_plan.plan(paths.gather(["f"], word="denoised"), "out")
    assert job.target == Path("out/f.jpg")


def test_clashes_fail_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(
        tmp_path,
        {
            "a/x.png": make_image(),
            "b/x.png": make_image(),
            "c/x.png": make_image(),
            "c/x.denoised.png": make_image(),
            "c/x.noise.png": make_image(),
        },
    )

    def planned(names, output=None, **more):
        return job_plan.plan(paths.gather(names, word="denoised"), output, **more)

    def problems(*arguments, **more):
        return [job.problem.partition(";")[0] for job in planned(*arguments, **more)]

    assert problems(["a/x.png", "b/x.png"], "out") == [
        "",
        "a/x.png and b/x.png would both write out/x.png",
    ]
    # The one that keeps its ending has the name, whichever comes first.
    put(tmp_path, {"d/x.gif": make_image("GIF"), "d/x.png": make_image(), "d/y.png": make_image()})
    assert problems(["d"], "out") == ["d/x.png and d/x.gif would both write out/x.png", "", ""]
    # Two folders keep their names.
    assert [job.target.as_posix() for job in planned(["a", "b"], "out")] == [
        "out/a/x.png",
        "out/b/x.png",
    ]
    assert problems(["c/x.png", "c/x.denoised.png"]) == [
        "c/x.png would write over the input c/x.denoised.png",
        "",
    ]
    assert problems(["c/x.png", "c/x.noise.png"], "c", extra="noise") == [
        "c/x.png would write over the input c/x.noise.png",
        "",
    ]
    # The same file twice is one file.
    assert len(planned(["a/x.png", "a/../a/x.png"], "out")) == 1


def test_files_are_replaced_only_when_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path, {"a.png": make_image(), "b.png": make_image()})
    os.link("a.png", "link.png")
    os.mkdir("folder.png")
    found = paths.gather(["a.png"], word="denoised")
    for output, reported in (("a.png", "is the input itself"), ("b.png", "is there already")):
        (job,) = job_plan.plan(found, output)
        with pytest.raises(ZooError, match=reported):
            job_plan.check_place(job, overwrite=False)
        job_plan.check_place(job, overwrite=True)
    (job,) = job_plan.plan(found, "link.png")
    with pytest.raises(ZooError, match="is the input by another name"):
        job_plan.check_place(job, overwrite=True)
    os.symlink("a.png", "soft.png")
    (job,) = job_plan.plan(found, "soft.png")
    assert job.problem.startswith("a.png would write over the input a.png")
    (job,) = job_plan.plan(found, "c.png", extra="png")
    job_plan.check_place(job, overwrite=False)
    with pytest.raises(ZooError, match="is a folder"):
        job_plan.check_place(job._replace(target=Path("folder.png")), overwrite=True)


def test_shards_have_each_file_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "in", {f"{n}.png": make_image() for n in range(7)})
    made = job_plan.plan(paths.gather(["in"], word="w"), "out")
    shares = [job_plan.shard(list(reversed(made)), number, 3) for number in (1, 2, 3)]
    assert [len(share) for share in shares] == [3, 2, 2]
    assert [job.source.name for job in shares[1]] == ["1.png", "4.png"]
    assert {job.source for share in shares for job in share} == {job.source for job in made}
    options = ["noise", "in", "-o", "out", "--op", "gaussian", "--level", "25", "--shard", "9/9"]
    assert cli.main(options) == 0
    assert capsys.readouterr().out == "shard 9 of 9: 0 of 7 files\n"
    (tmp_path / "out").mkdir()
    for job in shares[2]:
        job.target.write_bytes(job.source.read_bytes())
    # Done before, as when a job of an array is run again.
    assert cli.main([*options[:-1], "3/3"]) == 0
    assert "left 2 outputs that were there" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main([*options[:-1], "0/3"])
    assert "is not K/N with K from 1 to N" in capsys.readouterr().err
