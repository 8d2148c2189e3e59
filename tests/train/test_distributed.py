"""Two processes on this machine: what one process computes, and no hanging on the dead."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import safetensors.flax
from host import make_config

from zoo.data import images, pixels
from zoo.errors import ZooError
from zoo.train import distributed, experiment

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for split, count in (("train", 5), ("test", 1)):
        (folder / split).mkdir()
        for i in range(count):
            coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
            images.write(folder / split / f"{i}.png", pixels.resize(coarse, (32, 40)))
    return folder


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def started(command, processes, devices):
    """The processes of a run, `command(process, port)` each; none outlives the block."""
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
    }
    port, running = free_port(), []
    try:
        for process in range(processes):
            running.append(
                subprocess.Popen(
                    [sys.executable, *map(str, command(process, port))],
                    cwd=ROOT,
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        yield running
    finally:
        for process in running:
            process.kill()
            process.wait()
            process.stdout.close()
            process.stderr.close()


def finish(running, code=0, timeout=240):
    """What each process wrote to its standard error, once all are done."""
    said = []
    for process in running:
        out, err = process.communicate(timeout=timeout)
        assert process.returncode == code, out + err
        said.append(err)
    return said


def work(photos, *cases, processes=2, devices=2):
    def command(process, port):
        return [HERE / "host.py", processes, process, port, photos, *cases]

    with started(command, processes, devices) as running:
        return finish(running)


def weights(workdir):
    return safetensors.flax.load_file(workdir / "weights.safetensors")


def assert_close(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], atol=1e-6, err_msg=name)


def case(workdir, parallel="jit", optimizer="sgd", stream=0, steps=4):
    return f"{workdir},{parallel},{optimizer},{stream},{steps}"


def same_in_one_process_and_in_two(photos, folder, *variants):
    names = ["-".join(map(str, variant)) for variant in variants]
    for count in (1, 2):
        cases = [
            case(folder / f"{count}-{name}", *variant)
            for name, variant in zip(names, variants, strict=True)
        ]
        said = work(photos, *cases, processes=count, devices=4 // count)
    assert "2 processes of 2 device(s) each" in said[0]
    assert not said[1]
    for name in names:
        assert_close(weights(folder / f"1-{name}"), weights(folder / f"2-{name}"))
        rows = (folder / f"2-{name}" / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(row)["step"] for row in rows] == [1, 2, 3, 4]
        left = {path.name for path in (folder / f"2-{name}" / "checkpoints").iterdir()}
        assert left == {"2", "2.json", "4", "4.json"}


def test_two_processes_compute_what_one_does(photos, tmp_path):
    same_in_one_process_and_in_two(photos, tmp_path, ("jit", "adam"))


@pytest.mark.slow
def test_so_they_do_under_pmap_with_other_optimizers_and_from_a_stream(photos, tmp_path):
    same_in_one_process_and_in_two(
        photos,
        tmp_path,
        ("jit", "sgd"),
        ("pmap", "sgd"),
        ("pmap", "adam"),
        ("jit", "sgd", 1),
    )


@pytest.mark.slow
def test_a_run_goes_on_with_other_devices_and_processes(photos, tmp_path):
    work(photos, case(tmp_path / "whole", optimizer="adam", steps=6), processes=1, devices=1)
    layouts = [(2, 2), (1, 1), (2, 2)]
    for steps, (processes, devices) in zip((2, 4, 6), layouts, strict=True):
        cut = case(tmp_path / "cut", optimizer="adam", steps=steps)
        said = work(photos, cut, processes=processes, devices=devices)
        assert ("going on from step" in said[0]) == (steps > 2)
    assert_close(weights(tmp_path / "whole"), weights(tmp_path / "cut"))


@pytest.mark.parametrize("stream", [False, True])
def test_each_process_reads_its_own_slots(photos, stream, monkeypatch):
    def batches(process, processes):
        monkeypatch.setattr(jax, "process_index", lambda: process)
        monkeypatch.setattr(jax, "process_count", lambda: processes)
        built = experiment.build(make_config(str(photos), stream=stream))
        found = experiment.make_feed(built).batches.starting_at(3)
        return [next(found) for _ in range(3)]

    whole, *parts = batches(0, 1), batches(0, 2), batches(1, 2)
    assert parts[1][0].slot.tolist() == [4, 5, 6, 7]
    for one, *halves in zip(whole, *parts, strict=True):
        for field in ("slot", "picture", "pixels"):
            if getattr(one, field) is not None:
                joined = np.concatenate([getattr(half, field) for half in halves])
                np.testing.assert_array_equal(joined, getattr(one, field))


MAIN = (
    "--config.model.name=dncnn-color",
    "--config.model.options={'depth': 3, 'width': 8}",
    "--config.data.crop=(16, 16)",
    "--config.train.batch_size=8",
    "--config.train.steps=100000",
    "--config.log.every=5",
    "--config.checkpoint.every=20",
    "--config.optimizer.schedule=constant",
    "--config.eval.baselines=()",
)


def run_main(photos, workdir):
    def command(process, port):
        where = (f"--coordinator=127.0.0.1:{port}", "--processes=2", f"--process={process}")
        config = f"--config=configs/unet.py:{photos}"
        return ["main.py", config, *MAIN, f"--workdir={workdir}", *where]

    return started(command, processes=2, devices=2)


def await_steps(workdir, steps, running):
    path, deadline = workdir / "metrics.jsonl", time.monotonic() + 240
    while not path.exists() or len(path.read_text().splitlines()) < steps:
        assert all(process.poll() is None for process in running), finish(running)
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSTOP])
def test_a_dead_process_stops_the_other_in_one_line_and_the_run_goes_on(
    photos, tmp_path, victim, signum
):
    with run_main(photos, tmp_path / "run") as running:
        await_steps(tmp_path / "run", 30, running)
        running[victim].send_signal(signum)
        survivor = running[1 - victim]
        _, said = survivor.communicate(timeout=60)
        assert survivor.returncode == distributed.LOST, said
        last = said.splitlines()[-1]
        assert last.startswith(f"process {1 - victim} stops: ")
        assert said.count("stops: ") == 1
        assert not any(word in said for word in ("Traceback", "coordination", "gloo", "Gloo")), said
    with run_main(photos, tmp_path / "run") as running:
        await_steps(tmp_path / "run", 60, running)
        # One host is told to stop, and both do, after the same step.
        running[1].send_signal(signal.SIGTERM)
        said = finish(running, code=128 + signal.SIGTERM)
    assert "going on from step" in said[0]
    assert said[0].splitlines()[-1] == said[1].splitlines()[-1]
    assert "stopped by SIGTERM at step" in said[1]


@pytest.mark.slow
def test_processes_of_different_configs_part_at_once(photos, tmp_path):
    def command(process, port):
        return [HERE / "host.py", 2, process, port, photos, case(tmp_path / "run", steps=process)]

    with started(command, processes=2, devices=1) as running:
        said = finish(running, code=2)
    assert "train.steps (0, now 1)" in said[1]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--process=1"], "belong together"),
        (["--coordinator=127.0.0.1:1234", "--processes=2"], "belong together"),
        (["--coordinator=127.0.0.1:1", "--processes=2", "--process=2"], "number them 0 to 1"),
        (["--coordinator=127.0.0.1", "--processes=2", "--process=0"], "is no HOST:PORT"),
        (["--coordinator=a:99999", "--processes=2", "--process=0"], "is no HOST:PORT"),
        (["--coordinator=a:1234", "--processes=0", "--process=0"], "make it 1 or more"),
    ],
)
def test_flags_that_do_not_fit_are_refused_in_one_line(command, flags, words):
    code, _, err = command(f"--config={ROOT}/configs/unet.py", *flags)
    assert code == 2
    assert words in err
    assert err.count("\n") == 1


def test_a_port_that_is_taken_is_refused():
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ZooError, match=f"cannot listen on port {port}"):
            distributed.join(f"127.0.0.1:{port}", 2, 0)


def test_a_coordinator_that_is_not_there_is_not_waited_for_long():
    with pytest.raises(ZooError, match="does not answer"):
        distributed.join(f"127.0.0.1:{free_port()}", 2, 1, timeout=0)


def run_program(*lines):
    return subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_processes_that_do_not_all_come_are_told_in_one_line():
    done = run_program(
        "from zoo.train import distributed",
        f"distributed.join('127.0.0.1:{free_port()}', 2, 0, timeout=1)",
    )
    assert done.returncode == 2
    said = "error: not all processes came within 1 s; start each of them"
    assert done.stderr.splitlines() == [said]


def test_what_native_code_writes_comes_through_and_a_lost_process_in_our_words():
    done = run_program(
        "import ctypes, os, sys",
        "from zoo.train.native import overhear",
        "def lost(news):",
        "    print('heard', news.count('task'), file=sys.stderr)",
        "    os._exit(9)",
        "overhear(lost)",
        "os.write(2, b'an innocent line\\n')",
        "os.write(1, b'[Gloo] Rank 0 is connected to 1 peer ranks.\\n')",
        "os.write(2, b'E1121 14:41:01.6 45 coordination_service_agent.cc:288] a task\\n')",
        "os.write(2, b'the task\\n*** Check failure stack trace: ***\\n')",
        "ctypes.CDLL(None).abort()",
    )
    assert done.returncode == 9
    assert done.stderr.splitlines() == ["an innocent line", "heard 2"]
    assert not done.stdout
