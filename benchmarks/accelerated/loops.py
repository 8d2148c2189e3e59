"""The whole loop of a training beside its bare step."""

import argparse
import logging

import loop

from accelerated.children import ROOT
from accelerated.plan import Loop
from accelerated.speak import Speaker, main
from zoo.errors import ZooError


def measure(spec: dict, speaker: Speaker) -> None:
    """A row for each config: the medians over the turns.

    Args:
      spec: `loops`, each as `accelerated.plan.Loop`; the `steps` of a turn, the `turns`, and the
        `block`: seconds to measure the input for.
      speaker: receives the results.
    """
    logging.getLogger("imagecodecs").setLevel(logging.ERROR)
    loops = [Loop(*one) for one in spec["loops"]]
    speaker.plan([one.name for one in loops])
    for one in loops:
        try:
            speaker.row(one.name, {"name": one.name, **measured(one, spec)})
        except ModuleNotFoundError as error:
            speaker.left(one.name, f"it needs {error.name}; pip install {error.name}")
        except (Exception, SystemExit) as error:
            speaker.left(one.name, error)


def measured(one: Loop, spec: dict) -> dict[str, object]:
    """The medians of a config, and the ends of its share."""
    arguments = argparse.Namespace(
        config=str(ROOT / "configs" / one.config),
        override=list(one.override),
        steps=spec["steps"],
        turns=spec["turns"],
        seconds=spec["block"],
    )
    rows = loop.loop(arguments, stream=one.stream)
    if not rows:
        raise ZooError("the loop ended before its first turn")
    shares = [row["share"] for row in rows]
    ends = {"share_low": min(shares), "share_high": max(shares)}
    median = loop.with_median(rows)[-1]
    # Every row has a part of its own here.
    data, _ = median.pop("part"), median.pop("turn")
    return {"data": data, **median, "turns": len(rows), **ends}


if __name__ == "__main__":
    main(measure)
