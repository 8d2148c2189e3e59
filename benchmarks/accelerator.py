"""All that a GPU is to be measured for, in one command that ends in time.

    python benchmarks/accelerator.py --budget=540 --out=DIR
    python benchmarks/accelerator.py --toy --budget=90 --out=DIR     # the same, tiny, on a CPU

In this order: every family's golden outputs against the CPU; training and inference of ten
networks, each beside PyTorch; every noise op beside the memory's speed; the whole loop of a
training beside its bare step; the real-time factors of audio. See benchmarks/ACCELERATOR.md.

Each part is a process of its own, which is ended when its share of the time is over; a crash, or a
lack of memory, loses that part alone. What a part leaves over goes to those behind it. Networks
compile side by side (`--jobs`) and are timed one by one. Each row is in DIR/rows.jsonl as soon as
it is measured; DIR/summary.md holds the tables, and the list of what was left out; DIR/log.txt what
the parts said.
"""

import importlib.util
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

# The zoo may lie beside this file only, not be installed.
sys.path.insert(1, str(Path(__file__).parents[1]))

from accelerated import plan
from accelerated.children import Child, OverdueError, environment
from accelerated.kept import LOG, SUMMARY, Kept
from accelerated.summary import page
from harness import flags

from zoo import files
from zoo.errors import ZooError, unknown

LATE, STOPPED = "no time left", "the run was stopped"
NO_TORCH = "this Python has no torch; install it, or name a Python that has it by --torch-python"


class Run:
    """A run as a whole.

    Args:
      arguments: the flags.
      folder: of this run alone, for what is not kept.
    """

    def __init__(self, arguments, folder: Path):
        self.arguments, self.folder = arguments, folder
        # The page must be written and the processes ended before the budget is over.
        self._end = plan.BEGUN + arguments.budget - min(3.0, 0.1 * arguments.budget)
        self.kept = Kept(arguments.out, plan.BEGUN)
        self.settings = plan.settings(toy=arguments.toy)
        self.parts = [part for part in plan.PARTS if part in arguments.part]
        self.torch = arguments.torch_python
        if self.torch is None and importlib.util.find_spec("torch"):
            self.torch = sys.executable
        self._children: list[Child] = []

    def facts(self) -> None:
        """The first row, which needs no other process; not planned, for the part has its own."""
        row = {
            "python": platform.python_version(),
            "cpus": os.cpu_count(),
            "torch_python": "none" if self.torch is None else "found",
            "jobs": self.arguments.jobs,
            "toy": self.arguments.toy,
        }
        self.kept.add("machine", "host", row)
        if self.torch is None and "networks" in self.parts:
            self.kept.leave("networks", "PyTorch", NO_TORCH)
            print(f"PyTorch left out: {NO_TORCH}", file=sys.stderr)

    def everything(self) -> None:
        """Part after part, each with its share of the time that is left."""
        for number, part in enumerate(self.parts):
            shares = [plan.PARTS[name] for name in self.parts[number:]]
            left = self._end - time.monotonic()
            until = time.monotonic() + max(left, 0) * shares[0] / sum(shares)
            begun = time.monotonic()
            if part == "networks":
                self.networks(until)
            else:
                self.part(part, until)
            count = sum(row["part"] == part for row in self.kept.rows)
            if part == "machine" and any(row.get("backend") == "cpu" for row in self.kept.rows):
                print("no accelerator was found: JAX runs on the CPU", file=sys.stderr)
            print(f"{part}: {count} rows in {time.monotonic() - begun:.0f} s", flush=True)
            self.write()

    def part(self, part: str, until: float) -> None:
        """One process, until it ends or its time is over."""
        child = self.start(MODULES.get(part, part), self.settings[part])
        why = self.listen(child, part, until)
        self.kept.close(part, child.end() or why)

    def start(self, module: str, spec: dict) -> Child:
        """A part's process, which is ended with this one."""
        log = self.arguments.out / LOG
        child = Child(module, spec, log, environment(self.folder, self.arguments.jobs))
        self._children.append(child)
        return child

    def listen(self, child: Child, part: str, until: float, *, ready: bool = False) -> str:
        """Keeps what a child says until it has ended, or is ready.

        Returns:
          Why what it has not measured is missing.
        """
        try:
            while message := child.next(until):
                if ready and message.get("ready"):
                    return ""
                self.kept.hear(part, message)
        except OverdueError:
            return LATE
        return "its process ended"

    def networks(self, until: float) -> None:
        """Jobs in groups, which compile side by side and are then timed one by one."""
        waiting = plan.jobs(self.arguments.model, toy=self.arguments.toy)
        for job in waiting:
            self.kept.plan("networks", job.cells)
        shares = plan.shares(waiting, toy=self.arguments.toy)
        least = 6.0 if self.arguments.toy else 20.0
        while waiting:
            left = until - time.monotonic()
            if left < least:
                break
            group = waiting[: self.arguments.jobs]
            group = [job for job in group if job.wave == group[0].wave]
            waiting = waiting[len(group) :]
            share, rest = (sum(shares[job.wave] for job in some) for some in (group, waiting))
            # A share too small to compile anything in is of no use to anybody.
            given = min(max(left * share / (share + rest), 2 * least), left)
            self.group(group, time.monotonic(), given)
            self.write()
        self.kept.close("networks", LATE)

    def group(self, jobs: list[plan.Job], begun: float, seconds: float) -> None:
        """Compiles jobs side by side, then measures each of them alone."""
        compiled, until = begun + 0.7 * seconds, begun + seconds
        children = [(job, self.start("networks_beside", self.spec(job, compiled))) for job in jobs]
        ready = []
        for job, child in children:
            # A little longer, for it has its own clock and then says what is ready.
            if why := self.listen(child, "networks", compiled + 0.05 * seconds, ready=True):
                self.kept.close("networks", child.end() or why, job.cells)
            else:
                ready.append((job, child))
        for number, (job, child) in enumerate(ready):
            now = time.monotonic()
            child.go()
            own = now + max(until - now, 0) / (len(ready) - number)
            why = self.listen(child, "networks", own)
            self.kept.close("networks", child.end() or why, job.cells)

    def spec(self, job: plan.Job, compiled: float) -> dict:
        """The arguments of a job."""
        peaks = {row.get("dtype"): row.get("tflop_per_s") for row in self.kept.rows}
        seconds = compiled - time.monotonic()
        # On two cores the compiler of PyTorch takes a minute for a toy.
        compiles = job.wave == 0 and not self.arguments.toy
        checks = job.wave == 0 and (compiles or job.model == self.arguments.model[0])
        return {
            **job._asdict(),
            "torch": self.torch,
            "without": NO_TORCH if self.torch is None else "",
            "compile": compiles,
            "check": checks,
            "compile_until": time.time() + 0.95 * seconds,
            "block": 0.02 if self.arguments.toy else 0.25,
            "peaks": {"f32": peaks.get("float32"), "bf16": peaks.get("bfloat16")},
        }

    def write(self) -> None:
        """The page as it is by now."""
        text = page(self.kept, self.arguments.budget, time.monotonic() - plan.BEGUN)
        files.write(self.arguments.out / SUMMARY, text.encode())

    def end(self, why: str) -> None:
        """Ends all processes, and gives every part that has not run its reason."""
        for child in self._children:
            child.end()
        for part in self.parts:
            self.kept.close(part, why)
        self.write()
        self.kept.end()


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What ends a run early; the last when a terminal or a connection is closed."""

MODULES = {"networks": "networks_beside", "noise": "noise_ops", "loop": "loops"}
"""The modules of the parts whose names would hide those that they use."""


def parse():
    """The flags, checked."""
    cores = os.cpu_count() or 1
    parser = flags.Parser(__doc__)
    add = parser.add_argument
    add("--budget", type=flags.duration, default=540.0, help="seconds for all (default 540)")
    add("--out", type=Path, required=True, help="a folder without an earlier run's rows")
    add("--toy", action="store_true", help="tiny networks and images, to try all of it on a CPU")
    parts = ", ".join(plan.PARTS)
    add("--part", action=flags.Several, default=list(plan.PARTS), help=f"of {parts}; default all")
    add("--model", action=flags.Several, help=f"of {', '.join(plan.MODELS)}; default all")
    add(
        "--jobs", type=flags.count, default=max(1, min(5, cores // 3)), metavar="N",
        help="networks that compile at once (default a third of the cores, 5 at most)",
    )  # fmt: skip
    add("--torch-python", metavar="PYTHON", help="one that has torch; this one by default")
    arguments = parser.parse_args()
    arguments.model = tuple(arguments.model or (plan.TOY_MODELS if arguments.toy else plan.MODELS))
    for name in arguments.model:
        if name not in plan.MODELS:
            raise unknown("model", name, plan.MODELS)
    for name in arguments.part:
        if name not in plan.PARTS:
            raise unknown("part", name, plan.PARTS)
    python = arguments.torch_python
    if python and "networks" in arguments.part and not shutil.which(python):
        # Found out by the networks it would cost all of their time.
        raise ZooError(f"--torch-python: {python} cannot be started; name a Python that has torch")
    if not arguments.budget:
        raise ZooError("--budget is 0; give the seconds that all may take")
    files.make_folder(arguments.out)
    return arguments


def stop(signum: int, _) -> None:
    """SIGTERM or Ctrl-C, after which the processes are ended and the page is written."""
    for one in SIGNALS:
        # A second one would lose the page.
        signal.signal(one, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> None:
    """Measures all, or as much as there is time for."""
    arguments = parse()
    for one in SIGNALS:
        # Of nohup's.
        if signal.getsignal(one) is not signal.SIG_IGN:
            signal.signal(one, stop)
    folder = Path(tempfile.mkdtemp(prefix="accelerator-"))
    run, why = None, STOPPED
    try:
        run = Run(arguments, folder)
        run.facts()
        run.everything()
        why = LATE
    finally:
        if run:
            run.end(why)
        shutil.rmtree(folder, ignore_errors=True)
    left = len(run.kept.left)
    spent = time.monotonic() - plan.BEGUN
    print(f"{len(run.kept.rows)} rows, {left} left out, {spent:.0f} s; see {arguments.out}")


if __name__ == "__main__":
    sys.exit(flags.guard(main))
