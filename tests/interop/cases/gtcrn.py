"""GTCRN, written from the paper and the keys of its published weights; no package holds it.

On its authors' recording and with both of their published sets of weights it gave, digit for digit,
what their own code gives. It is also the peer of the benchmarks, so it stands there.
"""

from pathlib import Path

from case import Case

GROUPS = {f"encoder{i}": f"encoder.en_convs.{i}" for i in (0, 1, 2, 4)}
GROUPS |= {f"dual{i}": f"dpgrnn{i + 1}" for i in range(2)}
GROUPS |= {f"decoder{i}": f"decoder.de_convs.{i}" for i in (0, 2, 3, 4)}
SAME = {"padding": "reflect"}

CASES = {
    "gtcrn-mono": Case("gtcrn", (1, 1101, 1), options=SAME, groups=GROUPS),
    "gtcrn-stereo": Case("gtcrn", (2, 4500, 2), options=SAME),
    "gtcrn-zero": Case("gtcrn", (1, 3072, 1)),
    "gtcrn-published": Case("gtcrn", (1, 16001, 1), options=SAME, weights="gtcrn_dns3.tar"),
}


def is_constant(key):
    """The filters: seeded values would make another network."""
    return key.startswith("erb.")


def original(case):
    import sys

    sys.path[:0] = [str(Path(__file__).parents[3] / "benchmarks" / "peers")]
    from torch_models.gtcrn import GTCRN

    net = GTCRN(case.options.get("padding", "zero"))
    return net, lambda net, x, level: net(x)
