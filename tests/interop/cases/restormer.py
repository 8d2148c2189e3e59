"""Restormer against deepinv's."""

from case import Case

NARROW = {"width": 8, "blocks": (1, 2, 1, 1), "refinement": 1}
GROUPS = {
    "head": "patch_embed",
    "encoder0_0": "encoder_level1.0",
    "encoder1_1/attention": "encoder_level2.1.attn",
    "encoder1_1/feed_forward": "encoder_level2.1.ffn",
    "down1": "down1_2",
    "down3": "down3_4",
    "encoder3_0": "latent.0",
    "up2": "up4_3",
    "merge2": "reduce_chan_level3",
    "up1": "up3_2",
    "decoder1_0": "decoder_level2.0",
}

CASES = {
    "restormer-small": Case("restormer-small", (1, 19, 27, 3), NARROW, groups=GROUPS),
    "restormer-norm-bias": Case(
        "restormer-gray",
        (2, 17, 31, 1),
        {**NARROW, "norm_bias": True},
        groups={"encoder0_0/norm0": "encoder_level1.0.norm1", "encoder2_0": "encoder_level3.0"},
    ),
    "restormer-color": Case(
        "restormer-color", (1, 37, 45, 3), groups={"encoder3_7": "latent.7"}, slow=True
    ),
}


def original(case):
    """deepinv's network, padded by mirroring as in the authors' test script."""
    import torch
    from golden import deepinv_model

    options = {
        "dim": case.options.get("width", 48),
        "num_blocks": case.options.get("blocks", (4, 6, 6, 8)),
        "num_refinement_blocks": case.options.get("refinement", 4),
        "LayerNorm_type": "WithBias" if case.options.get("norm_bias") else "BiasFree",
    }
    channels = case.shape[-1]
    restormer = deepinv_model("restormer").Restormer
    net = restormer(channels, channels, pretrained=None, **options)

    def call(net, x, level):
        h, w = x.shape[-2:]
        padded = torch.nn.functional.pad(x, (0, -w % 8, 0, -h % 8), mode="reflect")
        return net.forward_restormer(padded)[..., :h, :w]

    return net, call
