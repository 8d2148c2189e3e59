"""File after file: failures, the summary, exit codes; what is done is a stub."""

import os
from pathlib import Path

import jax
import pytest

from zoo import progress
from zoo.cli import file_jobs as batch
from zoo.cli.job_plan import Job
from zoo.data import file_kinds
from zoo.errors import ZooError


def jobs(folder, *names):
    return [
        Job(Path(name), folder / name, None, file_kinds.IMAGE, "", Path(name)) for name in names
    ]


@pytest.fixture
def run(capsys):
    def run(made, do, **options):
        code = batch.run(made, do, overwrite=False, **options)
        return code, *capsys.readouterr()

    return run


def write(job, tell):
    tell(1, 1)
    job.target.write_bytes(b"x")
    return batch.Done("said", 2e6)


def test_one_file_is_one_line(run, tmp_path):
    code, output, errors = run(jobs(tmp_path, "a.png"), write)
    assert (code, errors) == (0, "")
    assert output.startswith(f"a.png -> {tmp_path}/a.png: said, 0.")
    assert output.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "reported"),
    [
        (ZooError("broken; mend it"), "broken; mend it"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (MemoryError(), "b.png does not fit into memory; give smaller tiles by --tile"),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: big"), "b.png does not fit into memory"),
    ],
)
def test_a_failure_is_one_line_and_the_rest_is_done(run, tmp_path, error, reported):
    def do(job, tell):
        if job.place.name == "b.png":
            raise error
        return write(job, tell)

    made = jobs(tmp_path / "deep" / "out", "a.png", "b.png", "c.png")
    code, output, errors = run(made, do, skipped=[Path("x.txt"), Path("y.TXT"), Path("Makefile")])
    assert code == 1
    assert [job.target.exists() for job in made] == [True, False, True]
    first, second = errors.splitlines()
    assert first.startswith("error: ")
    assert reported in first
    assert second == "failed: 1 of 3: b.png"
    *_, summary, skipped = output.splitlines()
    assert summary.startswith("2 images, ")
    assert skipped == "skipped 3 other files: 2 .txt, 1 Makefile"


def test_a_name_cannot_break_a_line(run, tmp_path):
    def do(job, tell):
        if "b" in job.place.name:
            raise ZooError(f"{job.source} is broken")
        return write(job, tell)

    made = jobs(tmp_path, "a\n1.png", "b\x1b[2J\udcff.png", "ü日本.png")
    code, output, errors = run(made, do, skipped=[Path("x.t\nt")])
    assert code == 1
    assert [line.split(" -> ")[0] for line in output.splitlines()[:2]] == [r"a\n1.png", "ü日本.png"]
    assert output.splitlines()[3] == r"skipped 1 other file: 1 .t\nt"
    assert errors == (
        "error: b\\x1b[2J\\udcff.png is broken\nfailed: 1 of 3: b\\x1b[2J\\udcff.png\n"
    )


def test_a_programming_error_is_none_of_the_users(run, tmp_path):
    def do(job, tell):
        raise KeyError("x")

    with pytest.raises(KeyError):
        run(jobs(tmp_path, "a.png"), do)


def test_what_is_there_stays_and_fails(run, tmp_path):
    (tmp_path / "a.png").write_bytes(b"old")
    code, _, errors = run(jobs(tmp_path, "a.png"), write)
    assert code == 1
    assert (
        errors == f"error: {tmp_path}/a.png is there already; name another output, or give "
        "--overwrite\n"
    )
    assert (tmp_path / "a.png").read_bytes() == b"old"


@pytest.fixture
def half_done(tmp_path):
    """Three jobs: one done, one done before its input changed, one to do."""
    made = [
        job._replace(source=tmp_path / "in" / job.source)
        for job in jobs(tmp_path / "out", "a.png", "b.png", "c.png")
    ]
    for folder in ("in", "out"):
        (tmp_path / folder).mkdir()
    for job, age in zip(made, (1, -1, None), strict=True):
        job.source.write_bytes(b"x")
        if age is not None:
            job.target.write_bytes(b"done")
            since = job.source.stat().st_mtime + age
            os.utime(job.target, (since, since))
    return made


def test_what_an_interrupted_run_did_is_left(run, half_done):
    """With a count; what is older than its input is no result of it."""
    a, b, c = half_done
    code, output, errors = run(half_done, write)
    assert code == 1
    assert [job.target.read_bytes() for job in (a, b, c)] == [b"done", b"done", b"x"]
    assert "left 1 output" in output
    assert errors.splitlines()[0].startswith(f"error: {b.target} is there already")
    assert len(errors.splitlines()) == 2
    # Nothing at all to do is reported in one line.
    code, output, errors = run([a, c], write)
    assert (code, errors) == (
        1,
        "error: all outputs are there; give --overwrite, or --skip-existing to leave them\n",
    )
    assert "left 2 outputs" in output


def test_skip_existing_leaves_all_that_is_there(run, half_done):
    code, output, errors = run(half_done, write, skip_existing=True)
    assert (code, errors) == (0, "")
    assert "left 2 outputs" in output
    assert half_done[2].target.read_bytes() == b"x"
    code, output, errors = run(half_done[:1], write, skip_existing=True)
    assert (code, errors) == (0, "")
    assert output.startswith("left 1 output")


def test_what_goes_to_a_stream_is_alone_there(run, tmp_path):
    (job,) = jobs(tmp_path, "a.png")
    sink = tmp_path / "sink"
    os.mkfifo(sink)
    reader = os.open(sink, os.O_RDONLY | os.O_NONBLOCK)
    code, output, errors = run([job._replace(stream=str(sink))], write)
    assert (code, output) == (0, "")
    assert errors.startswith(f"a.png -> {tmp_path}/a.png: said")
    assert os.read(reader, 9) == b"x"
    os.close(reader)
    assert os.listdir(tmp_path) == ["sink"]


def test_a_file_where_a_folder_is_needed_is_one_line(run, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    code, _, errors = run(jobs(tmp_path / "file", "a.png"), write)
    assert code == 1
    assert errors.startswith(f"error: cannot make {tmp_path}/file: ")
    assert errors.count("\n") == 1


def test_a_problem_after_the_writing_counts(run, tmp_path):
    def do(job, tell):
        return write(job, tell)._replace(problem="no reference")

    code, output, errors = run(jobs(tmp_path, "a.png"), do)
    assert code == 1
    assert "said" in output
    assert errors == "error: no reference\n"


def test_ctrl_c_keeps_what_is_finished(run, tmp_path):
    def do(job, tell):
        if job.place.name == "b.png":
            raise KeyboardInterrupt
        return write(job, tell)

    made = jobs(tmp_path, "a.png", "b.png", "c.png")
    code, _, errors = run(made, do)
    assert (code, errors) == (130, "stopped; 1 of 3 files are written and stay\n")
    assert os.listdir(tmp_path) == ["a.png"]


def test_long_lists_of_failures_are_cut(run, tmp_path):
    def do(job, tell):
        raise ZooError("no")

    _, output, errors = run(jobs(tmp_path, *(f"{i}.png" for i in range(15))), do)
    assert errors.splitlines()[-1].endswith("9.png and 5 more")
    assert output.startswith("nothing written; ")


def test_progress_is_lines_now_and_then_where_there_is_no_terminal(monkeypatch, capsys):
    clock = [0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with progress.progress("a.png", 2, 5) as tell:
        for done, now in ((1, 1), (2, 16), (3, 17), (4, 40)):
            clock[0] = now
            tell(done, 4)
    assert capsys.readouterr() == ("", "2 of 5: a.png: 50%\n")


def test_progress_is_a_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True)
    with progress.progress("a/very/long/name/of/some/picture.png", 2, 5) as tell:
        tell(1, 4)
        tell(4, 4)
    output, errors = capsys.readouterr()
    assert output == ""
    assert "2/5 .../name/of/some/picture.png" in errors
    # It leaves the line as it was.
    assert errors.endswith("\r")
