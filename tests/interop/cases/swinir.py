"""SwinIR as deepinv has it, with its authors' keys."""

from case import Case

CASES = {
    "swinir-small": Case(
        "swinir-color",
        (1, 19, 27, 3),
        options={"width": 12, "depths": (2, 3), "heads": 3, "window": 4},
        groups={
            "head": "conv_first",
            "embed_norm": "patch_embed.norm",
            "stage0/block0": "layers.0.residual_group.blocks.0",
            "stage0/block1": "layers.0.residual_group.blocks.1",
            "stage1": "layers.1",
        },
    ),
    "swinir-gray-batch": Case(
        "swinir-gray",
        (2, 9, 18, 1),
        options={"width": 8, "depths": (1, 2), "heads": 2, "expansion": 3},
        groups={
            "stage1/block1": "layers.1.residual_group.blocks.1",
            "norm": "norm",
            "body": "conv_after_body",
        },
    ),
    "swinir-gray": Case("swinir-gray", (1, 21, 27, 1), slow=True),
    "swinir-color": Case("swinir-color", (1, 27, 21, 3), slow=True),
}


def is_buffer(key):
    return key.endswith(".attn_mask")


def original(case):
    from golden import deepinv_model

    depths = case.options.get("depths", (6,) * 6)
    net = deepinv_model("swinir").SwinIR(
        # Any size that is no case's and has more than one window.
        img_size=64,
        in_chans=case.shape[-1],
        embed_dim=case.options.get("width", 180),
        depths=depths,
        num_heads=(case.options.get("heads", 6),) * len(depths),
        window_size=case.options.get("window", 8),
        mlp_ratio=case.options.get("expansion", 2),
        pretrained=None,
    )
    return net, lambda net, x, level: net(x)
