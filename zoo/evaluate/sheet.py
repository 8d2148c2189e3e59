"""A sheet of panels with words around them, laid out in pixels."""

import io
import os

from zoo import files

INK = "#1b1b1b"
FAINT = "#6b6b6b"


class Sheet:
    """An empty white picture; places count in pixels from its top left corner.

    Attributes:
      figure: matplotlib's.
      width: in pixels.
      height: in pixels.
    """

    def __init__(self, width: int, height: int):
        # Slow to import, and nobody who only trains or denoises should wait for it. No pyplot: it
        # keeps figures alive and takes a display where there is one.
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415

        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor="white")
        FigureCanvasAgg(self.figure)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: float = 12,
        color: str = INK,
        weight: str = "normal",
        across: str = "left",
    ) -> None:
        """Writes words whose top is at `y`, and whose `across` side is at `x`."""
        # Names may hold a dollar sign, which would start mathematics.
        self.figure.text(
            x / self.width,
            1 - y / self.height,
            words,
            fontsize=size * 0.72,
            color=color,
            fontweight=weight,
            ha=across,
            va="top",
            parse_math=False,
        )

    def axes(self, x: float, y: float, width: float, height: float):
        """Matplotlib's axes in a box."""
        across, down = self.width, self.height
        return self.figure.add_axes(
            (x / across, 1 - (y + height) / down, width / across, height / down)
        )

    def write(self, path: str | os.PathLike) -> None:
        """Writes it as PNG, whole or not at all.

        Raises:
          ZooError: the file cannot be written.
        """
        png = io.BytesIO()
        # Without the program's name and version, equal pictures are equal files.
        self.figure.savefig(png, format="png", dpi=100, metadata={"Software": None})
        files.write(path, png.getvalue())
