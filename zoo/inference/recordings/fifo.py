"""Samples that wait."""

import numpy as np


class Fifo:
    """A queue of samples (n, C), float32, taken in the order and the sizes that suit the taker."""

    def __init__(self, channels: int):
        self._x = np.zeros((0, channels), np.float32)

    def __len__(self) -> int:
        return len(self._x)

    def push(self, x: np.ndarray) -> None:
        """Appends (n, C)."""
        self._x = np.concatenate([self._x, x])

    def pop(self, count: int) -> np.ndarray:
        """Takes the first (count, C), or all there are."""
        taken, self._x = self._x[:count], self._x[count:]
        return taken
