"""NAFNet, written from the paper and the keys of its published weights; no package holds it."""

from case import Case

CASES = {
    "nafnet-small": Case(
        "nafnet-w32",
        (1, 19, 27, 3),
        options={"width": 4, "encoder": (2, 1), "middle": 2, "decoder": (1, 2)},
        groups={
            "head": "intro",
            "encoder0_0": "encoders.0.0",
            "encoder0_0/depthwise": "encoders.0.0.conv2",
            "encoder0_1/norm0": "encoders.0.1.norm1",
            "down1": "downs.0",
            "encoder1_0": "encoders.1.0",
            "middle1": "middle_blks.1",
            "up1": "ups.0",
            "decoder1_0": "decoders.0.0",
            "up0": "ups.1",
            "decoder0_1": "decoders.1.1",
        },
    ),
    "nafnet-gray-even": Case(
        "nafnet-small",
        (2, 24, 15, 1),
        options={"channels": 1, "width": 4},
        groups={"head": "intro", "middle0": "middle_blks.0", "decoder0_0": "decoders.2.0"},
    ),
    "nafnet-w32": Case("nafnet-w32", (1, 35, 21, 3), slow=True),
}

VARIANTS = {
    "nafnet-small": {"width": 16, "encoder": (1, 1, 2), "middle": 2, "decoder": (1, 1, 1)},
    "nafnet-w32": {"width": 32, "encoder": (2, 2, 4, 8), "middle": 12, "decoder": (2, 2, 2, 2)},
}


def original(case):
    import torch
    from torch import nn

    class Norm(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.ones(c)), nn.Parameter(torch.zeros(c))

        def forward(self, x):
            variance, mean = torch.var_mean(x, dim=1, correction=0, keepdim=True)
            y = (x - mean) / torch.sqrt(variance + 1e-6)
            return y * self.weight[:, None, None] + self.bias[:, None, None]

    def gate(x):
        a, b = x.chunk(2, dim=1)
        return a * b

    class Block(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.norm1, self.norm2 = Norm(c), Norm(c)
            self.conv1 = nn.Conv2d(c, 2 * c, 1)
            self.conv2 = nn.Conv2d(2 * c, 2 * c, 3, padding=1, groups=2 * c)
            self.sca = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(c, c, 1))
            self.conv3 = nn.Conv2d(c, c, 1)
            self.conv4 = nn.Conv2d(c, 2 * c, 1)
            self.conv5 = nn.Conv2d(c, c, 1)
            self.beta = nn.Parameter(torch.zeros(1, c, 1, 1))
            self.gamma = nn.Parameter(torch.zeros(1, c, 1, 1))

        def forward(self, x):
            y = gate(self.conv2(self.conv1(self.norm1(x))))
            x = x + self.beta * self.conv3(self.sca(y) * y)
            return x + self.gamma * self.conv5(gate(self.conv4(self.norm2(x))))

    channels = case.shape[-1]
    sizes = VARIANTS[case.model] | dict(case.options)
    levels = len(sizes["encoder"])
    widths = [sizes["width"] * 2**i for i in range(levels + 1)]

    def blocks(count, c):
        return nn.Sequential(*[Block(c) for _ in range(count)])

    def up(c):
        return nn.Sequential(nn.Conv2d(2 * c, 4 * c, 1, bias=False), nn.PixelShuffle(2))

    net = nn.Module()
    net.intro = nn.Conv2d(channels, widths[0], 3, padding=1)
    net.encoders = nn.ModuleList(
        [blocks(n, c) for n, c in zip(sizes["encoder"], widths, strict=False)]
    )
    net.downs = nn.ModuleList([nn.Conv2d(c, 2 * c, 2, 2) for c in widths[:-1]])
    net.middle_blks = blocks(sizes["middle"], widths[-1])
    net.ups = nn.ModuleList([up(c) for c in widths[-2::-1]])
    net.decoders = nn.ModuleList(
        [blocks(n, c) for n, c in zip(sizes["decoder"], widths[-2::-1], strict=True)]
    )
    net.ending = nn.Conv2d(widths[0], channels, 3, padding=1)

    def call(net, x, level):
        h, w = x.shape[-2:]
        multiple = 2**levels
        x = nn.functional.pad(x, (0, -w % multiple, 0, -h % multiple))
        y, skips = net.intro(x), []
        for encoder, down in zip(net.encoders, net.downs, strict=True):
            skips.append(encoder(y))
            y = down(skips[-1])
        y = net.middle_blks(y)
        for up, decoder in zip(net.ups, net.decoders, strict=True):
            y = decoder(up(y) + skips.pop())
        return (x + net.ending(y))[..., :h, :w]

    return net, call
