"""`benchmarks/accelerator.py`: its budget, what is kept, and all parts at toy size."""

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "peers"))

import accelerator
import networks
from accelerated import children, plan
from accelerated.kept import ROWS, SUMMARY, Kept
from accelerated.summary import page
from harness import flags

from zoo.errors import ZooError
from zoo.models import small_options

pytestmark = pytest.mark.tools

BENCHMARKS = Path(accelerator.__file__).parent
# What the parts do here, by the name of their module; none needs JAX.
FAKE = """
import json, subprocess, sys, time
say = lambda **message: print(json.dumps(message), flush=True)
part = sys.argv[1]
if part == "golden":
    say(planned=["one", "two"])
    say(cell="one", row=dict(family="f", precision="p", difference=1, difference_to_cpu=2))
    sys.exit("it crashed")
if part == "noise_ops":
    say(planned=["fast", "slow"])
    say(cell="fast", row={"value": 2})
    # In a session of its own, as some compilers are.
    child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"],
                             start_new_session=True)
    say(cell="pid", row={"value": child.pid})
    time.sleep(60)
if part == "loops":
    time.sleep(60)
if part == "networks_beside":
    spec = json.loads(sys.argv[2])
    say(ready=True)
    sys.stdin.readline()
    for task, side, batch in spec["tasks"]:
        cell = f"{spec['model']} {task} {spec['dtype']} {side}x{side} batch {batch}"
        say(cell=cell, row={"without": spec["without"], "compile": spec["compile"]})
"""


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs the script here, its parts faked; the exit code and the rows."""

    def start(module, spec, log, environment):
        command = [sys.executable, "-S", "-c", FAKE, module, json.dumps(spec)]
        return children.Child(module, spec, log, environment, command=command)

    monkeypatch.setattr(accelerator, "Child", start)
    handlers = {one: signal.getsignal(one) for one in accelerator.SIGNALS}

    def call(*arguments):
        monkeypatch.setattr(plan, "BEGUN", time.monotonic())
        monkeypatch.setattr(sys, "argv", ["accelerator.py", f"--out={tmp_path}", *arguments])
        code = flags.guard(accelerator.main)
        path = tmp_path / ROWS
        lines = path.read_text().splitlines() if path.exists() else []
        return code, [json.loads(line) for line in lines]

    yield call
    for signum, handler in handlers.items():
        signal.signal(signum, handler)


def test_the_budget_is_held_and_what_it_cut_off_is_listed(run, tmp_path):
    begun = time.monotonic()
    code, rows = run("--budget=2", "--part=noise,loop", "--torch-python=none")
    assert code == 0
    assert time.monotonic() - begun < 2.5
    found = {(row["part"], row["cell"]): row for row in rows}
    assert found["noise", "fast"]["value"] == 2
    assert 0 < found["noise", "fast"]["at_s"] < 2
    assert not alive(found["noise", "pid"]["value"])
    text = (tmp_path / SUMMARY).read_text()
    assert "- noise: slow: no time left" in text
    assert "- loop: all of it: no time left" in text
    assert {path.name for path in tmp_path.iterdir()} <= {ROWS, SUMMARY, "log.txt"}


def test_a_part_that_crashes_leaves_its_rows_and_the_reason(run, tmp_path):
    code, rows = run("--budget=30", "--part=golden,networks", "--model=unet-small", "--jobs=3")
    assert code == 0
    cells = [row["cell"] for row in rows]
    assert "one" in cells
    assert "two" not in cells
    text = (tmp_path / SUMMARY).read_text()
    assert "- golden: two: it crashed" in text
    assert (tmp_path / "log.txt").read_text() == "--- golden\nit crashed\n"
    # All of the next part, the most telling first.
    wanted = [cell for job in plan.jobs(("unet-small",)) for cell in job.cells]
    assert [row["cell"] for row in rows if row["part"] == "networks"] == wanted


def test_a_missing_torch_is_said_in_one_line(run, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(accelerator.importlib.util, "find_spec", lambda name: None)
    code, rows = run("--budget=30", "--part=networks", "--model=unet-small")
    assert code == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("PyTorch left out: this Python has no torch")
    assert all("no torch" in row["without"] for row in rows if row["part"] == "networks")
    assert "no torch" in (tmp_path / SUMMARY).read_text()


@pytest.mark.parametrize("signum", accelerator.SIGNALS)
def test_a_signal_ends_it_with_its_page_written(run, tmp_path, signum):
    # A job in the background of a shell ignores some.
    signal.signal(signum, signal.SIG_DFL)
    threading.Timer(0.8, os.kill, (os.getpid(), signum)).start()
    code, rows = run("--budget=60", "--part=noise")
    assert code == 130
    pid = next(row["value"] for row in rows if row["cell"] == "pid")
    assert not alive(pid)
    assert "- noise: slow: the run was stopped" in (tmp_path / SUMMARY).read_text()


def test_a_second_signal_does_not_lose_the_page(run, monkeypatch, tmp_path):
    end = accelerator.Run.end

    def again(self, why):
        os.kill(os.getpid(), signal.SIGTERM)
        end(self, why)

    monkeypatch.setattr(accelerator.Run, "end", again)
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
    assert run("--budget=60", "--part=loop")[0] == 130
    assert "- loop: all of it: the run was stopped" in (tmp_path / SUMMARY).read_text()


def test_the_part_machine_is_listed_where_it_is_lost(run, tmp_path):
    assert run("--budget=30", "--part=machine")[0] == 0
    assert "- machine: all of it: its process ended" in (tmp_path / SUMMARY).read_text()


@pytest.mark.parametrize(
    ("flag", "reported"),
    [
        ("--model=unet-smal", "did you mean 'unet-small'"),
        ("--part=nois", "did you mean 'noise'"),
        ("--budget=0", "--budget is 0"),
        ("--torch-python=/no/python", "/no/python cannot be started"),
    ],
)
def test_a_mistake_is_reported_in_one_line(run, capsys, flag, reported):
    assert run(flag)[0] == 2
    err = capsys.readouterr().err
    assert reported in err
    assert err.count("\n") == 1


def test_rows_of_another_run_are_not_mixed_in(run, tmp_path, capsys):
    (tmp_path / ROWS).write_text("{}\n")
    assert run("--budget=9")[0] == 2
    assert "choose another --out" in capsys.readouterr().err
    assert (tmp_path / ROWS).read_text() == "{}\n"


def test_every_cell_is_planned_once_and_the_first_tell_most():
    jobs = plan.jobs(plan.MODELS)
    cells = [cell for job in jobs for cell in job.cells]
    assert len(cells) == len(set(cells)) == 10 * 2 * 2 * 2
    assert {job.model for job in jobs[:10]} == set(plan.MODELS)
    assert {job.dtype for job in jobs[:10]} == {"bf16"}
    shares = plan.shares(jobs)
    assert sum(shares[job.wave] for job in jobs) == pytest.approx(10)
    assert shares[0] > shares[1] > shares[2]
    assert sum(plan.PARTS.values()) == 100


@pytest.mark.parametrize("name", plan.MODELS)
def test_a_toy_is_narrow_on_both_sides(name):
    narrow = small_options(name)
    toy = networks.network(plan.PEERS[name], **narrow)
    assert toy.parameters < 25_000
    # What is narrow on our side alone would not be the same network.
    assert narrow.items() <= toy.fields.items()


def test_the_page_tells_what_the_rows_hold(tmp_path):
    kept = Kept(tmp_path, time.monotonic())
    network = {
        "wave": 0, "model": "unet-small", "task": "train", "dtype": "bf16", "size": "8x8x3",
        "batch": 2, "ours_ms": 1.25, "torch_ms": 2.5, "speedup_median": 2.0, "speedup_low": 1.5,
        "speedup_high": 2.5, "megapixels_per_s": 3.5, "torch_megapixels_per_s": 1.75,
        "share_of_matmul_peak": 0.125, "program_mb": 7.0, "compile_s": 9.0,
        "torch_peak_memory_mb": None, "torch_variant": "eager+channels_last", "note": "",
    }  # fmt: skip
    golden = {
        "family": "unet", "precision": "float32", "difference": 2e-6, "difference_to_cpu": 3e-6,
    }  # fmt: skip
    kept.plan("networks", ["a", "b"])
    kept.add("machine", "matmul bfloat16", {"dtype": "bfloat16", "tflop_per_s": 512.0})
    kept.add("networks", "a", network)
    kept.add("golden", "x", golden | {"holds": True})
    kept.add("golden", "y", golden | {"holds": False, "difference": 4e-3})
    kept.close("networks", "no time left")
    kept.close("audio", "it crashed")
    kept.end()
    text = page(kept, 540, 12.3)
    (row,) = (line for line in text.splitlines() if line.startswith("| unet-small"))
    assert [cell.strip() for cell in row.split("|")[4:10]] == [
        "1.25", "2.5", "2.00 (1.50, 2.50)", "3.5", "1.75", "0.125",
    ]  # fmt: skip
    assert "matmul bfloat16: 512 TFLOP/s, measured" in text
    (line,) = (line for line in text.splitlines() if line.startswith("| unet "))
    assert [cell.strip() for cell in line.split("|")[2:6]] == ["2", "0.004", "3e-06", "no"]
    assert "- networks: b: no time left" in text
    assert "- audio: all of it: it crashed" in text
    assert "12 s of a budget of 540 s" in text
    rows = [json.loads(line) for line in (tmp_path / ROWS).read_text().splitlines()]
    assert rows == kept.rows


def test_every_family_of_golden_files_is_there(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS.parent / "tests" / "interop"))
    golden = importlib.import_module("accelerated.golden")
    found = golden.certificates(None)
    folder = golden.INTEROP / "golden"
    # Of published files there are no seeded weights.
    others = {p.stem for p in folder.glob("*.npz") if p.stem.startswith("fastenhancer")}
    others |= {"deepfilternet3", "gtcrn-published", "ulunas"}
    assert {one.label for one in found} == {p.stem for p in folder.glob("*.npz")} - others
    first = [one.family for one in found if not one.case.slow]
    assert set(first) == {one.family for one in found}
    assert all(not one.case.slow for one in found[: len(first)])


def test_what_fails_to_compile_does_not_stop_the_rest():
    from accelerated.speak import compiled

    class Deaf:
        def __init__(self):
            self.reported = {}

        def left(self, cell, why):
            self.reported[cell] = why

    def fail():
        raise ZooError("mend it")

    speaker = Deaf()
    tasks = {"a": lambda: 1, "b": fail, "c": lambda: 3}
    assert dict(compiled(tasks, speaker)) == {"a": 1, "c": 3}
    assert str(speaker.reported["b"]) == "mend it"


@pytest.mark.slow
def test_all_parts_at_toy_size(tmp_path):
    out = tmp_path / "out"
    flag = [f"--torch-python={p}"] if (p := os.environ.get("ZOO_TORCH_PYTHON")) else []
    command = [sys.executable, BENCHMARKS / "accelerator.py", "--toy", "--budget=400", *flag]
    done = subprocess.run(
        [*command, f"--out={out}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=420,
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (out / ROWS).read_text().splitlines()]
    text = (out / SUMMARY).read_text()
    assert {row["part"] for row in rows} == set(plan.PARTS)
    cells = [cell for job in plan.jobs(plan.TOY_MODELS, toy=True) for cell in job.cells]
    timed = [row for row in rows if "ours_ms" in row]
    assert [row["cell"] for row in timed] == cells, text
    for row in timed:
        pixels = row["batch"] * int(row["size"].split("x")[0]) ** 2
        assert row["megapixels_per_s"] == pytest.approx(pixels / row["ours_ms"] / 1e3)
        speed = row["gflop_per_step"] / row["ours_ms"]
        assert row["tflop_per_s"] == pytest.approx(speed)
        assert ("torch_ms" in row) == bool(flag)
        assert f"| {row['model']} " in text
    golden = [row for row in rows if row["part"] == "golden"]
    assert len(golden) == 6
    assert all(row["holds"] for row in golden if row["precision"] == "float32")
    assert len(list(out.iterdir())) <= 3
