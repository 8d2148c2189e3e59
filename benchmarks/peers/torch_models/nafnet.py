"""NAFNet (Chen et al., 2022), as its authors name its tensors."""

from collections.abc import Sequence

import torch
from torch import nn


class LayerNorm2d(nn.LayerNorm):
    """Over the channels of each pixel, as torchvision has it: free of copies in channels_last."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keeps the shape."""
        y = nn.functional.layer_norm(
            x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps
        )
        return y.permute(0, 3, 1, 2)


class SimpleGate(nn.Module):
    """The product of the two halves of the channels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Halves the channels."""
        a, b = x.chunk(2, dim=1)
        return a * b


class Block(nn.Module):
    """Gated depthwise convolution with channel attention, then a gated pointwise layer."""

    def __init__(self, c: int):
        super().__init__()
        self.norm1, self.norm2 = LayerNorm2d(c, eps=1e-6), LayerNorm2d(c, eps=1e-6)
        self.conv1 = nn.Conv2d(c, 2 * c, 1)
        self.conv2 = nn.Conv2d(2 * c, 2 * c, 3, padding=1, groups=2 * c)
        self.sca = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(c, c, 1))
        self.conv3 = nn.Conv2d(c, c, 1)
        self.conv4 = nn.Conv2d(c, 2 * c, 1)
        self.conv5 = nn.Conv2d(c, c, 1)
        self.gate = SimpleGate()
        self.beta = nn.Parameter(torch.zeros(1, c, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, c, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keeps the shape."""
        y = self.gate(self.conv2(self.conv1(self.norm1(x))))
        x = x + self.beta * self.conv3(y * self.sca(y))
        return x + self.gamma * self.conv5(self.gate(self.conv4(self.norm2(x))))


class NAFNet(nn.Module):
    """A U-Net of such blocks that predicts what to add; any height and width."""

    def __init__(
        self,
        channels: int,
        width: int,
        encoder: Sequence[int],
        middle: int,
        decoder: Sequence[int],
    ):
        super().__init__()
        widths = [width * 2**i for i in range(len(encoder) + 1)]

        def stage(count, c):
            return nn.Sequential(*[Block(c) for _ in range(count)])

        def up(c):
            return nn.Sequential(nn.Conv2d(2 * c, 4 * c, 1, bias=False), nn.PixelShuffle(2))

        self.multiple = 2 ** len(encoder)
        down, rise = widths[:-1], widths[-2::-1]
        self.intro = nn.Conv2d(channels, width, 3, padding=1)
        self.encoders = nn.ModuleList([stage(*x) for x in zip(encoder, down, strict=True)])
        self.downs = nn.ModuleList([nn.Conv2d(c, 2 * c, 2, stride=2) for c in down])
        self.middle_blks = stage(middle, widths[-1])
        self.ups = nn.ModuleList([up(c) for c in rise])
        self.decoders = nn.ModuleList([stage(*x) for x in zip(decoder, rise, strict=True)])
        self.ending = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Denoises (N, C, H, W)."""
        height, width = x.shape[-2:]
        padding = (0, -width % self.multiple, 0, -height % self.multiple)
        y = self.intro(nn.functional.pad(x, padding) if any(padding) else x)
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            y = encoder(y)
            skips.append(y)
            y = down(y)
        y = self.middle_blks(y)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            y = decoder(up(y) + skips.pop())
        y = self.ending(y)
        return x + (y[..., :height, :width] if any(padding) else y)


build = NAFNet
