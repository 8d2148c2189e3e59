"""Two processes on this machine: what one process computes, and no hanging on the dead."""

import json
import signal
import socket
import time

import jax
import numpy as np
import pytest
import safetensors.flax
from host import make_config
from spawned import HERE, ROOT, finish, free_port, run_program, started

from zoo.data import image_files, pixels
from zoo.errors import ZooError
from zoo.train import distributed, experiment, feed


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for split, count in (("train", 5), ("test", 1)):
        (folder / split).mkdir()
        for i in range(count):
            coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
            image_files.write(folder / split / f"{i}.png", pixels.resize(coarse, (32, 40)))
    return folder


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


@pytest.mark.matrix
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
        assert ("resuming from step" in said[0]) == (steps > 2)
    assert_close(weights(tmp_path / "whole"), weights(tmp_path / "cut"))


@pytest.mark.parametrize("stream", [False, True])
def test_each_process_reads_its_own_slots(photos, stream, monkeypatch):
    def batches(process, processes):
        monkeypatch.setattr(jax, "process_index", lambda: process)
        monkeypatch.setattr(jax, "process_count", lambda: processes)
        built = experiment.build(make_config(str(photos), stream=stream))
        found = feed.make_feed(built).batches.starting_at(3)
        return [next(found) for _ in range(3)]

    whole, *parts = batches(0, 1), batches(0, 2), batches(1, 2)
    assert parts[1][0].slot.tolist() == [4, 5, 6, 7]
    for one, *halves in zip(whole, *parts, strict=True):
        for field in ("slot", "example", "crops"):
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
        # One host is asked to stop, and both do, after the same step.
        running[1].send_signal(signal.SIGTERM)
        said = finish(running, code=128 + signal.SIGTERM)
    assert "resuming from step" in said[0]
    assert said[0].splitlines()[-1] == said[1].splitlines()[-1]
    assert "stopped by SIGTERM at step" in said[1]


@pytest.mark.slow
def test_processes_of_different_configs_part_at_once(photos, tmp_path):
    def command(process, port):
        return [HERE / "host.py", 2, process, port, photos, case(tmp_path / "run", steps=process)]

    with started(command, processes=2, devices=1) as running:
        said = finish(running, code=2)
    assert "train.steps (0, now 1)" in said[1]


# One process at a time comes late: to a collective, and with the hash of a checkpoint. Each tells
# when it came to its collectives and when it let the devices speak.
DAWDLING = """
import json, pathlib, sys, time
import numpy as np
from jax.experimental import multihost_utils as utils
from zoo.train import checkpoint, distributed

process, port, folder = int(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
distributed.join(f"127.0.0.1:{port}", 2, process, timeout=60)
came, spoke, hashed, checksums = [], [], [], checkpoint._checksums

def noted(speak):
    def collective(*arguments, **options):
        spoke.append(time.monotonic())
        return speak(*arguments, **options)
    return collective

def hashing(path):
    time.sleep(0.5)
    hashed.append(time.monotonic())
    return checksums(path)

utils.process_allgather = noted(utils.process_allgather)
utils.broadcast_one_to_all = noted(utils.broadcast_one_to_all)
checkpoint._checksums = hashing
first = []
for late, ask, value in ((1, distributed.text_from_first, "a"), (0, distributed.agree, 1)):
    time.sleep(0.5 * (process == late))
    came.append(time.monotonic())
    before = len(spoke)
    ask(value)
    first.append(spoke[before])
checkpoints = checkpoint.Checkpoints(folder, keep=2)
checkpoints.save(1, {"a": np.ones(10, np.float32)})
saved = time.monotonic()
distributed.meet()
if process == 0:
    (folder / "1" / "odd").write_text("damage")
before = len(spoke)
assert checkpoint.Checkpoints(folder, keep=2, warn=lambda line: None).latest is None
told = {"came": came, "spoke": first, "hashed": hashed, "saved": saved}
# The path goes round in two collectives before the hash.
print(json.dumps({**told, "after": spoke[before + 2]}), file=sys.stderr)
distributed.finish()
"""


@pytest.mark.matrix
def test_collectives_wait_for_a_process_that_comes_late(tmp_path):
    # The devices' own would for 30 s at most.
    def command(process, port):
        return ["-c", DAWDLING, process, port, tmp_path / "checkpoints"]

    with started(command, processes=2, devices=1) as running:
        reported = [json.loads(said.splitlines()[-1]) for said in finish(running)]
    assert [len(one["spoke"]) for one in reported] == [2, 2]
    for came, spoke in zip(
        np.transpose([one["came"] for one in reported]),
        np.transpose([one["spoke"] for one in reported]),
        strict=True,
    ):
        assert spoke.min() >= came.max()
    saved, damaged = reported[0]["hashed"]
    assert reported[1]["hashed"] == []
    assert reported[1]["saved"] >= saved
    assert reported[1]["after"] >= damaged


# A step is compiled, and one process takes longer than gloo gives devices to connect.
COMPILING = """
import sys, time
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from zoo.train import distributed

distributed.join(f"127.0.0.1:{sys.argv[2]}", 2, int(sys.argv[1]), timeout=60)
mesh = Mesh(np.array(jax.devices()), ("data",))
split, whole = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (("data",), ()))
x = jax.make_array_from_process_local_data(split, np.ones(2, np.float32))
step = jax.jit(lambda x: x.sum(), out_shardings=whole).lower(x).compile()
time.sleep(33 * int(sys.argv[1]))
assert int(step(x)) == 4
distributed.finish()
"""


@pytest.mark.slow
def test_a_first_step_waits_for_a_process_that_compiles_longer():
    def command(process, port):
        return ["-c", COMPILING, process, port]

    with started(command, processes=2, devices=2) as running:
        finish(running)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--process=1"], "belong together"),
        (["--coordinator=127.0.0.1:1234", "--processes=2"], "belong together"),
        (["--coordinator=127.0.0.1:1", "--processes=2", "--process=2"], "number them 0 to 1"),
        (["--coordinator=127.0.0.1", "--processes=2", "--process=0"], "is not HOST:PORT"),
        (["--coordinator=a:99999", "--processes=2", "--process=0"], "is not HOST:PORT"),
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


@pytest.mark.matrix
def test_processes_that_do_not_all_come_are_reported_in_one_line():
    done = run_program(
        "from zoo.train import distributed",
        f"distributed.join('127.0.0.1:{free_port()}', 2, 0, timeout=1)",
    )
    assert done.returncode == 2
    said = "error: not all processes came within 1 s; start each of them"
    assert done.stderr.splitlines() == [said]
