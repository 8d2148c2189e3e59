"""DRUNet as deepinv has it, with KAIR's keys."""

from case import Case

SCALES = {r"\.res\.2\.weight$": 0.5}

CASES = {
    "drunet-small": Case(
        "drunet-color",
        (1, 19, 27, 3),
        options={"widths": (4, 6, 8, 10), "blocks": 2},
        level=0.2,
        groups={
            "head": "m_head",
            "encoder0_0": "m_down1.0",
            "down1": "m_down1.2",
            "encoder2_1": "m_down3.1",
            "body0": "m_body.0",
            "up2": "m_up3.0",
            "decoder2_0": "m_up3.1",
            "up0": "m_up1.0",
            "decoder0_1": "m_up1.2",
        },
    ),
    "drunet-gray-even": Case(
        "drunet-gray",
        (2, 24, 13, 1),
        # deepinv names the parts of a Sequential of one block otherwise.
        options={"widths": (4, 6, 8, 10), "blocks": 2},
        level=0.1,
        groups={"head": "m_head", "body0": "m_body.0"},
    ),
    "drunet-gray": Case("drunet-gray", (1, 21, 27, 1), level=0.1, scales=SCALES, slow=True),
    "drunet-color": Case("drunet-color", (1, 27, 21, 3), level=0.1, scales=SCALES, slow=True),
}


def original(case):
    import torch
    from golden import deepinv_model
    from torch import nn

    channels = case.shape[-1]
    net = deepinv_model("drunet").DRUNet(
        in_channels=channels,
        out_channels=channels,
        nc=case.options.get("widths", (64, 128, 256, 512)),
        nb=case.options.get("blocks", 4),
        pretrained=None,
    )

    def call(net, x, level):
        # deepinv's own forward pads some images to multiples of 16 and cuts others into four
        # overlapping parts, which changes pixels near the edges and the cuts. The network itself
        # asks for multiples of 8, which is all that ours pads to, by repetition as there.
        h, w = x.shape[-2:]
        y = nn.ReplicationPad2d((0, -w % 8, 0, -h % 8))(x)
        y = torch.cat([y, torch.full_like(y[:, :1], level)], dim=1)
        return net.forward_unet(y)[..., :h, :w]

    return net, call
