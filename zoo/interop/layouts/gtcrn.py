"""GTCRN as its authors (github.com/Xiaobin-Rong/gtcrn) store it."""

from collections.abc import Iterator

import numpy as np

from zoo.models.gtcrn import GTCRN, bands
from zoo.models.torch_layout import LINEAR, SAME, Form, Tensor, layer, norm

IGNORED = (r".*\.num_batches_tracked",)

FIXED = {"erb.erb_fc.weight": bands().T, "erb.ierb_fc.weight": bands()}

# Their features are ordered part of the spectrum, neighbour; ours neighbour, part.
HEAD = Form(
    lambda a: a.reshape(len(a), 3, 3, 5).transpose(3, 2, 1, 0).reshape(5, 9, -1),
    lambda shape: (shape[2], 9, 1, 5),
)
STRIDED = Form(lambda a: a[:, :, 0].transpose(2, 1, 0), lambda s: (s[2], s[1], 1, s[0]))
# A channel of theirs and its three neighbours lie together.
EXPAND = Form(
    lambda a: a.reshape(len(a), -1, 3).transpose(2, 1, 0), lambda s: (s[2], s[0] * s[1], 1, 1)
)
EXPAND_UP = Form(
    lambda a: a.reshape(-1, 3, a.shape[1]).transpose(1, 0, 2), lambda s: (s[0] * s[1], s[2], 1, 1)
)
PROJECT = Form(lambda a: a[:, :, 0, 0].T[None], lambda s: (s[2], s[1], 1, 1))
PROJECT_UP = Form(lambda a: a[None, :, :, 0, 0], lambda s: (s[1], s[2], 1, 1))
DEPTHWISE = Form(lambda a: a[:, 0].transpose(1, 2, 0), lambda s: (s[2], 1, 3, 3))
# A transposed convolution's taps run against time and frequency.
DEPTHWISE_UP = Form(lambda a: a[:, 0, ::-1, ::-1].transpose(1, 2, 0), DEPTHWISE.shape)
SCALAR = Form(lambda a: a[0], lambda shape: (1,))


def strided_up(groups: int) -> Form:
    """A transposed convolution's kernel, (in, out / groups, 1, 5), to (5, in / groups, out)."""

    def to_ours(a: np.ndarray) -> np.ndarray:
        a = a.reshape(groups, -1, a.shape[1], 5).transpose(3, 1, 0, 2)
        return a.reshape(5, a.shape[1], -1)

    return Form(to_ours, lambda s: (s[1] * groups, s[2] // groups, 1, 5))


def layout(model: GTCRN) -> Iterator[Tensor]:
    """Where each variable of a GTCRN stands."""
    for i, form in enumerate((HEAD, STRIDED)):
        yield from _strided(f"encoder{i}", f"encoder.en_convs.{i}", form)
    for i in range(2, 5):
        forms = (EXPAND, DEPTHWISE, PROJECT)
        yield from _block(f"encoder{i}", f"encoder.en_convs.{i}", forms)
    for i in range(2):
        yield from _dual(f"dual{i}", f"dpgrnn{i + 1}")
    for i in range(3):
        forms = (EXPAND_UP, DEPTHWISE_UP, PROJECT_UP)
        yield from _block(f"decoder{i}", f"decoder.de_convs.{i}", forms)
    for i, groups in ((3, 2), (4, 1)):
        yield from _strided(f"decoder{i}", f"decoder.de_convs.{i}", strided_up(groups), last=i == 4)


def _strided(ours: str, theirs: str, form: Form, last: bool = False) -> Iterator[Tensor]:
    yield Tensor(f"params/{ours}/conv_kernel", f"{theirs}.conv.weight", form)
    yield Tensor(f"params/{ours}/conv_bias", f"{theirs}.conv.bias", SAME)
    yield from _batch_norm(f"{ours}/norm", f"{theirs}.bn")
    if not last:
        yield Tensor(f"params/{ours}/slope", f"{theirs}.act.weight", SCALAR)


def _block(ours: str, theirs: str, forms: tuple[Form, Form, Form]) -> Iterator[Tensor]:
    names = (("expand", "point", "1"), ("depthwise", "depth", ""), ("project", "point", "2"))
    for (name, key, number), form in zip(names, forms, strict=True):
        yield Tensor(f"params/{ours}/{name}_kernel", f"{theirs}.{key}_conv{number}.weight", form)
        yield Tensor(f"params/{ours}/{name}_bias", f"{theirs}.{key}_conv{number}.bias", SAME)
        yield from _batch_norm(f"{ours}/{name}_norm", f"{theirs}.{key}_bn{number}")
        if name != "project":
            yield Tensor(f"params/{ours}/{name}_slope", f"{theirs}.{key}_act.weight", SCALAR)
    yield from _gru(f"{ours}/attention", [f"{theirs}.tra.att_gru"], ("",))
    yield from layer(f"{ours}/attention_out", f"{theirs}.tra.att_fc", LINEAR)


def _dual(ours: str, theirs: str) -> Iterator[Tensor]:
    for name, ways in (("intra", ("", "_reverse")), ("inter", ("",))):
        units = [f"{theirs}.{name}_rnn.rnn{i}" for i in (1, 2)]
        yield from _gru(f"{ours}/{name}", units, ways)
        yield from layer(f"{ours}/{name}_out", f"{theirs}.{name}_fc", LINEAR)
        yield from norm(f"{ours}/{name}_norm", f"{theirs}.{name}_ln")


def _gru(ours: str, units: list[str], ways: tuple[str, ...]) -> Iterator[Tensor]:
    for i, theirs in enumerate(units):
        for way in ways:
            for name, key in (("input", "ih"), ("hidden", "hh")):
                end, suffix = f"{i}{way}", f"{key}_l0{way}"
                yield Tensor(
                    f"params/{ours}/{name}_kernel{end}", f"{theirs}.weight_{suffix}", LINEAR
                )
                yield Tensor(f"params/{ours}/{name}_bias{end}", f"{theirs}.bias_{suffix}", SAME)


def _batch_norm(ours: str, theirs: str) -> Iterator[Tensor]:
    yield from norm(ours, theirs)
    yield Tensor(f"batch_stats/{ours}/mean", f"{theirs}.running_mean", SAME)
    yield Tensor(f"batch_stats/{ours}/var", f"{theirs}.running_var", SAME)
