"""SCUNet as deepinv has it, with its authors' keys."""

from case import Case

SCALES = {r"\.conv1_2\.weight$": 0.3}

CASES = {
    "scunet-small": Case(
        "scunet-color",
        # The original pads to 64 whatever its windows are, ours to eight windows.
        (1, 37, 51, 3),
        scales=SCALES,
        options={"width": 8, "blocks": (2, 1, 1, 2, 1, 2, 1), "head_width": 4, "window": 4},
        groups={
            "down3": "m_down3.1",
            "body0": "m_body.0",
            "body1": "m_body.1",
            "up2": "m_up3.0",
            "decoder2_0": "m_up3.1",
        },
    ),
    "scunet-gray-batch": Case(
        "scunet-gray",
        (2, 65, 21, 1),
        scales=SCALES,
        options={"width": 8, "blocks": (1, 1, 2, 3, 1, 1, 2), "head_width": 2},
        groups={"body2": "m_body.2"},
    ),
    "scunet-gray": Case("scunet-gray", (1, 27, 65, 1), scales=SCALES, slow=True),
    "scunet-color": Case("scunet-color", (1, 65, 21, 3), scales=SCALES, slow=True),
}


def original(case):
    from unittest import mock

    from golden import deepinv_model

    scunet = deepinv_model("scunet")
    build = scunet.ConvTransBlock.__init__
    # The original has no arguments for these two.
    head_width, window = case.options.get("head_width", 32), case.options.get("window", 8)

    def narrow(self, conv, trans, _head_width, _window, *rest):
        build(self, conv, trans, head_width, window, *rest)

    with mock.patch.object(scunet.ConvTransBlock, "__init__", narrow):
        net = scunet.SCUNet(
            in_nc=case.shape[-1],
            config=case.options.get("blocks", (4,) * 7),
            dim=case.options.get("width", 64),
            pretrained=None,
        )
    return net, lambda net, x, level: net(x)
