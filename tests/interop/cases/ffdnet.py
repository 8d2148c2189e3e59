"""FFDNet as KAIR builds it: the level map at half resolution, behind the unshuffled image."""

from case import Case

CASES = {
    "ffdnet-small": Case(
        "ffdnet-color",
        (1, 19, 27, 3),
        options={"depth": 4, "width": 8},
        level=0.2,
        groups={"head": "model.0", "body0": "model.2", "body1": "model.4"},
    ),
    "ffdnet-gray-batch": Case(
        "ffdnet-gray",
        (2, 18, 15, 1),
        options={"depth": 3, "width": 8},
        level=0.1,
        groups={"head": "model.0", "body0": "model.2"},
    ),
    "ffdnet-gray": Case("ffdnet-gray", (1, 33, 29, 1), level=0.1, slow=True),
    "ffdnet-color": Case("ffdnet-color", (1, 33, 30, 3), level=0.1, slow=True),
}

DEPTHS_AND_WIDTHS = {"ffdnet-gray": (15, 64), "ffdnet-color": (12, 96)}


def original(case):
    import torch
    from torch import nn

    channels = case.shape[-1]
    depth, width = DEPTHS_AND_WIDTHS[case.model]
    depth, width = case.options.get("depth", depth), case.options.get("width", width)

    layers = [nn.Conv2d(4 * channels + 1, width, 3, padding=1), nn.ReLU()]
    for _ in range(depth - 2):
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
    layers.append(nn.Conv2d(width, 4 * channels, 3, padding=1))
    net = nn.ModuleDict({"model": nn.Sequential(*layers)})

    def call(net, x, level):
        h, w = x.shape[-2:]
        y = nn.ReplicationPad2d((0, w % 2, 0, h % 2))(x)
        y = nn.PixelUnshuffle(2)(y)
        y = torch.cat([y, torch.full_like(y[:, :1], level)], dim=1)
        return nn.PixelShuffle(2)(net["model"](y))[..., :h, :w]

    return net, call
