"""The PyTorch side of compare.py, run by a Python that has torch and numpy; JAX is not needed."""

import gc
import importlib.util
import platform
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch_models
import torch_steps
import torch_variants
from torch_serve import serve


def tf32(allowed: bool) -> None:
    """Whether float32 convolutions and matmuls on a GPU may round as JAX's do by default."""
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed


def keep_memory() -> None:
    """Keeps freed memory as the zoo's commands do, which serves PyTorch too."""
    path = Path(__file__).parents[2] / "zoo" / "runtime.py"
    spec = importlib.util.spec_from_file_location("runtime", path)
    runtime = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(runtime)
    runtime.keep_memory()


class Peer:
    """One network and the steps made of it; each method answers a request."""

    def __init__(self, device: str, threads: int):
        self._device, self._steps, self._slept = device, {}, None
        keep_memory()
        torch.set_num_threads(threads)
        torch.backends.cudnn.benchmark = True

    def versions(self) -> dict:
        """Who answers."""
        cuda = self._device == "cuda"
        if cuda and not torch.cuda.is_available():
            raise SystemExit("this torch sees no GPU; install the one built for it")
        return {
            "torch": torch.__version__,
            "torch_python": platform.python_version(),
            "torch_device": torch.cuda.get_device_name() if cuda else "cpu",
            "torch_cudnn": torch.backends.cudnn.version() if cuda else None,
            "torch_threads": torch.get_num_threads(),
        }

    def build(self, family: str, fields: dict) -> dict:
        """Makes the network and counts its parameters."""
        self._steps.clear()
        # All networks share a few functions, and dynamo gives up compiling one after some forms.
        torch.compiler.reset()
        self._net = torch_models.build(family, fields).to(self._device)
        learnt = (p for p in self._net.parameters() if p.requires_grad)
        return {"parameters": sum(p.numel() for p in learnt)}

    def load(self, path: str) -> dict:
        """Takes the weights from an npz of its state dict, which may lack what is not learnt."""
        with np.load(path) as file:
            state = {key: torch.from_numpy(file[key]) for key in file.files}
        fixed = [name for name, p in self._net.named_parameters() if not p.requires_grad]
        lacking, unknown = self._net.load_state_dict(state, strict=False)
        lacking = [key for key in lacking if not key.endswith("num_batches_tracked")]
        if unknown or set(lacking) - set(fixed):
            raise SystemExit(
                f"these tensors do not match: {[*unknown, *lacking]}; correct the layout"
            )
        self._net.eval()
        return {}

    @torch.inference_mode()
    def forward(self, path: str) -> dict:
        """Puts the outputs for a npy in its place, in full float32; (N, H, W, C) or (N, T, C)."""
        tf32(False)
        x = torch.from_numpy(np.load(path)).movedim(-1, 1).to(self._device)
        np.save(path, self._net(x).movedim(1, -1).cpu().numpy())
        return {}

    def variants(self, task: str, shape: list) -> dict:
        """The names worth a try for a batch of this shape."""
        return {"names": torch_variants.names(self._device, task, len(shape))}

    def make(self, task: str, variant: str, shape: list, dtype: str, label: str = "") -> dict:
        """Builds a step, runs it until it is warm and gives the seconds that took, or an error.

        The step goes by the variant's name, or by a label where there are several of a variant.
        """
        label = label or variant
        tf32(True)
        start = time.perf_counter()
        try:
            build = {"train": torch_steps.train, "infer": torch_steps.infer}[task]
            self._steps[label] = step = build(
                self._net, tuple(shape), device=self._device, dtype=dtype, variant=variant
            )
            for _ in range(3):
                step()
            self._wait()
        except Exception as error:  # Compilers fail in their own ways; another variant may do.
            self._steps.pop(label, None)
            lines = str(error).strip().splitlines() or [""]
            return {"error": f"{type(error).__name__}: {lines[0]}"}
        finally:
            if self._device == "cuda":
                # The other side may need what this one does not hold between two steps.
                torch.cuda.empty_cache()
        return {"seconds": time.perf_counter() - start}

    def memory(self, variant: str) -> dict:
        """The most bytes of a GPU that a step holds at once; None on a CPU."""
        if self._device != "cuda":
            return {"bytes": None}
        torch.cuda.reset_peak_memory_stats()
        self._steps[variant]()
        self._wait()
        return {"bytes": torch.cuda.max_memory_allocated()}

    def keep(self, variant: str) -> dict:
        """Forgets all other steps."""
        self._steps = {variant: self._steps[variant]}
        gc.collect()
        if self._device == "cuda":
            torch.cuda.empty_cache()
        return {}

    def time(self, variant: str, steps: int) -> dict:
        """The median seconds of a block of steps; and the cores it kept busy since the last one."""
        step, idle = self._steps[variant], self._idle()
        step()
        self._wait()
        times = []
        for _ in range(steps):
            start = time.perf_counter()
            step()
            self._wait()
            times.append(time.perf_counter() - start)
        # Threads that spin for more work must have gone to sleep when the other's turn comes.
        time.sleep(0.2)
        self._slept = _clocks()
        return {"seconds": statistics.median(times), "idle": idle}

    def _idle(self) -> float:
        if self._slept is None:
            return 0.0
        wall, busy = (now - then for now, then in zip(_clocks(), self._slept, strict=True))
        return busy / max(wall, 1e-9)

    def _wait(self) -> None:
        if self._device == "cuda":
            torch.cuda.synchronize()


def _clocks() -> tuple[float, float]:
    """Seconds by the wall and seconds of all this process's threads."""
    return time.perf_counter(), time.process_time()


def main():
    """Answers until the standard input ends."""
    device, threads = sys.argv[1:]
    peer = Peer(device, int(threads))
    names = ("versions", "build", "load", "forward", "variants", "make", "keep", "time", "memory")
    serve({name: getattr(peer, name) for name in names})


if __name__ == "__main__":
    main()
