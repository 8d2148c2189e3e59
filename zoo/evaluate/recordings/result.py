"""What an evaluation of recordings finds."""

from typing import NamedTuple

from zoo.evaluate import means
from zoo.evaluate.means import Means
from zoo.evaluate.recordings import figures
from zoo.evaluate.recordings.protocol import RecordingProtocol

METRICS = tuple(figures.COLUMNS)


class Score(NamedTuple):
    """The figures of one method on one recording, or piece of one, at one level.

    Attributes:
      level: its label.
      recording: its name.
      method: a model's name, "noisy" or a baseline.
      figures: metric -> value, NaN where it is undefined.
    """

    level: str
    recording: str
    method: str
    figures: dict[str, float]


class Result(NamedTuple):
    """What an evaluation found.

    Attributes:
      scores: one for each level, recording and method.
      summary: method -> metric -> mean over all recordings and levels; None if there is none.
      by_level: level -> method -> metric -> mean over all recordings.
      protocol: the choices behind the figures.
      metrics: which, in their order.
      notes: what was left out, and why, a line each.
      paired: whether the recordings brought their own noisy twins.
    """

    scores: list[Score]
    summary: Means
    by_level: dict[str, Means]
    protocol: RecordingProtocol
    metrics: tuple[str, ...]
    notes: list[str]
    paired: bool

    def table(self) -> str:
        """The means as aligned text, the best of each column marked by an asterisk.

        One block for each level and, for several, one for their mean; notes and the protocol
        underneath.
        """
        columns = {metric: figures.COLUMNS[metric] for metric in self.metrics}
        blocks = [means.table(found, level, columns) for level, found in self.by_level.items()]
        if len(blocks) > 1:
            blocks.append(means.table(self.summary, "mean", columns))
        beneath = [*self.notes, self.protocol.line(paired=self.paired)]
        return "\n\n".join([*blocks, "\n".join(beneath)])
