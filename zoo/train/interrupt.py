"""SIGTERM and Ctrl-C, turned into a question the training loop asks between two steps."""

import signal
import threading


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """The run was asked to stop, and has saved itself.

    Attributes:
      exit_code: 128 plus the signal's number: 143 for SIGTERM, 130 for Ctrl-C.
    """

    def __init__(self, signum: int, step: int):
        self.exit_code = 128 + signum
        name = signal.Signals(signum).name
        super().__init__(f"stopped by {name} at step {step}; the same command goes on from there")


class Listener:
    """While it is entered, remembers the first signal instead of dying of it.

    Outside the main thread, where Python takes no signals, none comes.

    Attributes:
      signum: the signal that came, or None.
    """

    def __init__(self):
        self.signum: int | None = None

    def __enter__(self) -> "Listener":
        main = threading.current_thread() is threading.main_thread()
        signums = (signal.SIGTERM, signal.SIGINT) if main else ()
        self._earlier = {s: signal.signal(s, self._keep) for s in signums}
        return self

    def __exit__(self, *_) -> None:
        for signum, handler in self._earlier.items():
            signal.signal(signum, handler)

    def _keep(self, signum: int, _) -> None:
        if self.signum is not None:
            # Whoever asks twice does not want to wait for the checkpoint.
            raise KeyboardInterrupt
        self.signum = signum
