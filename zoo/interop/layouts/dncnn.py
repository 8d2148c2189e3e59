"""DnCNN as KAIR (github.com/cszn/KAIR) stores it: one Sequential of its layers in order.

Its files hold convolutions alone, the batch norm merged into them; an unmerged network's
normalizations stand behind their convolutions.
"""

from collections.abc import Iterator

from zoo.models.dncnn import DnCNN
from zoo.models.torch_layout import CONV, SAME, Tensor, layer, norm

IGNORED = (r"model\.\d+\.num_batches_tracked",)


def layout(model: DnCNN) -> Iterator[Tensor]:
    """Where each variable of a DnCNN stands."""
    bodies = range(model.depth - 2)
    # Layers between one convolution and the next, ReLU and perhaps batch norm.
    stride = 3 if model.norm == "batch" else 2
    places = {"head": 0} | {f"body{i}": 2 + stride * i for i in bodies}
    places["tail"] = 2 + stride * len(bodies)
    for name, place in places.items():
        yield from layer(name, f"model.{place}", CONV)
    if model.norm == "batch":
        for i in bodies:
            place = places[f"body{i}"] + 1
            yield from norm(f"norm{i}", f"model.{place}")
            yield Tensor(f"batch_stats/norm{i}/mean", f"model.{place}.running_mean", SAME)
            yield Tensor(f"batch_stats/norm{i}/var", f"model.{place}.running_var", SAME)
