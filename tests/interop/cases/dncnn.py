"""DnCNN as KAIR builds it, written as the plain Sequential that it is."""

from case import Case

CASES = {
    "dncnn-small": Case(
        "dncnn-color",
        (1, 19, 27, 3),
        options={"depth": 5, "width": 8},
        groups={"head": "model.0", "body0": "model.2", "body2": "model.6", "tail": "model.8"},
    ),
    "dncnn-gray-batch": Case(
        "dncnn-gray",
        (2, 17, 13, 1),
        options={"depth": 4, "width": 8, "norm": "batch"},
        groups={"head": "model.0", "body1": "model.5", "norm1": "model.6", "tail": "model.8"},
    ),
    "dncnn-gray": Case("dncnn-gray", (1, 33, 29, 1), groups={"tail": "model.32"}, slow=True),
    "dncnn-color-blind": Case(
        "dncnn-color-blind", (1, 33, 29, 3), groups={"tail": "model.38"}, slow=True
    ),
}

DEPTHS = {"dncnn-gray": 17, "dncnn-color": 17, "dncnn-gray-blind": 20, "dncnn-color-blind": 20}


def original(case):
    from torch import nn

    channels, width = case.shape[-1], case.options.get("width", 64)
    depth = case.options.get("depth", DEPTHS[case.model])
    batch_norm = case.options.get("norm") == "batch"

    layers = [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
    for _ in range(depth - 2):
        layers.append(nn.Conv2d(width, width, 3, padding=1))
        if batch_norm:
            layers.append(nn.BatchNorm2d(width, eps=1e-4))
        layers.append(nn.ReLU())
    layers.append(nn.Conv2d(width, channels, 3, padding=1))
    net = nn.ModuleDict({"model": nn.Sequential(*layers)})
    return net, lambda net, x, level: x - net["model"](x)
