"""Perceptual metrics of speech, computed on the host by their usual packages, and a pool."""

import dataclasses
import functools
import importlib.util
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from zoo.errors import ZooError, first_line
from zoo.modality import AUDIO

# From so many jobs on, a new process is worth its second of imports.
_JOBS_TO_PAY = 50


@AUDIO.metric("STOI", 3, package="pystoi")
def stoi(
    estimate: np.ndarray, reference: np.ndarray, sample_rate: int, *, extended: bool = False
) -> float:
    """Short-time objective intelligibility, by the PyPI package `pystoi`.

    Args:
      estimate: (T,) or (T, C), floats in [-1, 1].
      reference: of the same shape.
      sample_rate: samples a second; pystoi resamples to 10 kHz.
      extended: ESTOI, which also follows what modulated noise does.

    Returns:
      About 0 (unintelligible) to 1; the mean over the channels.

    Raises:
      ZooError: without the package, for shapes that differ, silence, or less than .4 s of speech.

    References:
      Taal et al., "An algorithm for intelligibility prediction of time-frequency weighted noisy
      speech", IEEE TASLP 2011; Jensen and Taal, IEEE TASLP 2016.
    """
    package = _package("pystoi")

    def one(reference, estimate):
        with warnings.catch_warnings():
            # A warning and 1e-5 are what pystoi makes of too short an audio signal.
            warnings.simplefilter("error", RuntimeWarning)
            try:
                return package.stoi(reference, estimate, sample_rate, extended=extended)
            # And an IndexError of too short for a single frame.
            except (RuntimeWarning, IndexError) as error:
                raise ZooError("STOI needs .4 s of speech or more, pauses left out") from error

    return _mean_over_channels(one, estimate, reference, "STOI")


@AUDIO.metric("PESQ", 2, package="pesq", sample_rates=(8000, 16000))
def pesq(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Perceptual evaluation of speech quality (ITU-T P.862), by the PyPI package `pesq`.

    Args:
      estimate: (T,) or (T, C), floats in [-1, 1].
      reference: of the same shape.
      sample_rate: 16000 for the wide-band figure, 8000 for the narrow-band one.

    Returns:
      A mean opinion score, about 1 (bad) to 4.6; the mean over the channels.

    Raises:
      ZooError: without the package, at another sample rate, for shapes that differ, or for less
        than .25 s, silence, or a reference without speech.
    """
    package = _package("pesq")
    modes = {16000: "wb", 8000: "nb"}
    if sample_rate not in modes:
        raise ZooError(f"PESQ is defined at 16000 and 8000 Hz, not {sample_rate}; resample first")

    def one(reference, estimate):
        try:
            return package.pesq(sample_rate, reference, estimate, modes[sample_rate])
        except package.NoUtterancesError as error:
            raise ZooError("PESQ finds no speech in the reference; leave it out") from error
        except package.BufferTooShortError as error:
            raise ZooError("PESQ needs a quarter of a second or more") from error

    return _mean_over_channels(one, estimate, reference, "PESQ")


AUDIO.add(
    dataclasses.replace(
        AUDIO.metrics["stoi"],
        name="estoi",
        heading="ESTOI",
        usual=False,
        options={"extended": True},
    )
)

# Seconds of a piece, and the rate of the network.
_PIECE, _DNSMOS_RATE = 9.01, 16000
# From the network's scale to that of listeners, highest power first.
_SCALES = {
    "sig": (-0.08397278, 1.22083953, 0.0052439),
    "bak": (-0.13166888, 1.60915514, -0.39604546),
    "ovrl": (-0.06766283, 1.11546468, 0.04602535),
}


def dnsmos(
    estimate: np.ndarray, reference: np.ndarray, sample_rate: int, *, scale: str = "ovrl"
) -> float:
    """DNSMOS P.835: what listeners would say of speech, predicted by a network without a reference.

    The network is that of the PyPI package `speechmos`, read by `onnxruntime`. It hears pieces of
    9.01 s, one each second; a shorter signal is repeated. As its makers warn, it is for
    comparing denoisers, on natural speech.

    Args:
      estimate: (T,) or (T, C), floats in [-1, 1]; what lies beyond is clipped.
      reference: of the same shape; not used.
      sample_rate: samples a second; the network hears 16 kHz.
      scale: `"sig"`, how natural the speech is, `"bak"`, how unobtrusive the background, or
        `"ovrl"`, both.

    Returns:
      A mean opinion score, about 1 (bad) to 5; the mean over the channels.

    Raises:
      ZooError: without the packages, for shapes that differ, or silence.

    References:
      Reddy, Gopal and Cutler, "DNSMOS P.835: A Non-Intrusive Perceptual Objective Speech Quality
      Metric to Evaluate Noise Suppressors", ICASSP 2022.
    """
    import soxr  # noqa: PLC0415 - only other rates need it

    _dnsmos_network()

    def one(_, estimate):
        x = soxr.resample(estimate, sample_rate, _DNSMOS_RATE).clip(-1, 1)
        if not len(x):
            raise ZooError("DNSMOS needs a sample at 16 kHz or more")
        return np.polyval(
            _SCALES[scale], _dnsmos_raw(x.tobytes())[list(_SCALES).index(scale)]
        ).mean()

    return _mean_over_channels(one, estimate, reference, "DNSMOS")


for _scale in _SCALES:
    AUDIO.metric(
        f"DNSMOS {_scale.upper()}",
        2,
        name=f"dnsmos_{_scale}",
        usual=False,
        package="speechmos",
        options={"scale": _scale},
    )(dnsmos)


# The three scales come at once, and are asked for one after the other.
@functools.lru_cache(maxsize=64)
def _dnsmos_raw(samples: bytes) -> np.ndarray:
    """What the network says of each piece of an audio signal at 16 kHz, (3, pieces)."""
    x, size = np.frombuffer(samples, np.float32), int(_PIECE * _DNSMOS_RATE)
    # Doubled, as the package does it.
    while len(x) < size:
        x = np.concatenate([x, x])
    # The package leaves out a last piece that would begin in the last whole second.
    count = int(len(x) // _DNSMOS_RATE - _PIECE) + 1
    starts = range(0, count * _DNSMOS_RATE, _DNSMOS_RATE)
    run = _dnsmos_network().run
    return np.stack([run(None, {"input_1": x[None, at : at + size]})[0][0] for at in starts], 1)


@functools.cache
def _dnsmos_network():
    """The session of the network, one for each process."""
    runtime = _package("onnxruntime")
    # Not imported: it would import librosa, which nothing here needs.
    found = importlib.util.find_spec("speechmos")
    if found is None:
        raise _missing("speechmos")
    path = Path(found.origin).parent / "dnsmos_models" / "sig_bak_ovr.onnx"
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class Verdict(NamedTuple):
    """A figure; where it is NaN, the reason."""

    value: float
    reason: str = ""


Job = tuple[Callable[[np.ndarray, np.ndarray], float], np.ndarray, np.ndarray]
"""A metric, such as `pesq` with its rate; the estimate and the reference, (T, C), float32."""


class Pool:
    """Worker processes for metrics like PESQ and STOI, which take long and hold Python's lock.

    It is a context manager. The processes are loky's, neither forks (JAX has threads) nor children
    of `multiprocessing` (which would run the user's script again). One that PESQ's C code crashes
    is replaced.

    Args:
      jobs: how many are to come; few are done in this process.
      workers: how many processes, at most; None for one per core. Without joblib there are none.
    """

    def __init__(self, jobs: int, workers: int | None = None):
        self._workers = 0
        if importlib.util.find_spec("joblib") is not None:
            import joblib  # noqa: PLC0415 - an extra

            most = joblib.cpu_count() if workers is None else workers
            self._workers = min(most, jobs // _JOBS_TO_PAY)

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        if self._workers:
            self._executor().shutdown(wait=True, kill_workers=True)

    def judge(self, jobs: Sequence[Job]) -> list[Verdict]:
        """The verdicts on some signals."""
        if not self._workers:
            return [judge(*job) for job in jobs]
        futures = [self._executor().submit(judge, *job) for job in jobs]
        return [self._verdict(future, job) for future, job in zip(futures, jobs, strict=True)]

    def _verdict(self, future: Future, job: Job) -> Verdict:
        """Of a job that is done once more if its process died, perhaps of another one's fault."""
        try:
            return future.result()
        except RuntimeError:
            again = self._executor().submit(judge, *job)
            return Verdict(np.nan, "its process died") if again.exception() else again.result()

    def _executor(self):
        from joblib.externals.loky import get_reusable_executor  # noqa: PLC0415 - an extra

        # Importing the metrics imports JAX, which must not ask for the accelerator a second time;
        # one thread each, because there are as many processes as cores.
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        environment = {"JAX_PLATFORMS": "cpu", **one}
        return get_reusable_executor(self._workers, timeout=600, env=environment)


def judge(
    metric: Callable[[np.ndarray, np.ndarray], float], estimate: np.ndarray, reference: np.ndarray
) -> Verdict:
    """The figure of one signal, computed in this process."""
    try:
        value = metric(estimate, reference)
    # Whatever a package makes of an audio signal without a word in it, the other figures stand.
    except Exception as error:
        return Verdict(np.nan, first_line(error))
    return Verdict(value, "" if np.isfinite(value) else "not a number")


def _package(name: str) -> ModuleType:
    """The package of that name, imported where it is used because it is an extra."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise _missing(name) from error


def _missing(name: str) -> ZooError:
    return ZooError(f"this figure needs the package {name}: pip install 'denoising-zoo[audio]'")


def _mean_over_channels(
    one: Callable[[np.ndarray, np.ndarray], float],
    estimate: np.ndarray,
    reference: np.ndarray,
    name: str,
) -> float:
    estimate, reference = (np.asarray(x, np.float32) for x in (estimate, reference))
    if estimate.shape != reference.shape or estimate.ndim not in (1, 2) or not estimate.size:
        raise ZooError(
            f"{name} needs two audio signals of one shape (T,) or (T, C), got {estimate.shape}, "
            f"{reference.shape}"
        )
    if not (np.isfinite(estimate).all() and np.isfinite(reference).all()):
        raise ZooError(f"{name} needs finite samples; the audio has NaN or infinity")
    estimate, reference = (x.reshape(len(x), -1).T for x in (estimate, reference))
    if not (estimate.any(axis=1).all() and reference.any(axis=1).all()):
        raise ZooError(f"{name} has no figure for silence; leave that signal out")
    pairs = zip(reference, estimate, strict=True)
    return float(np.mean([one(np.ascontiguousarray(r), np.ascontiguousarray(e)) for r, e in pairs]))
