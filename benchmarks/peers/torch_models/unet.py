"""The zoo's U-Net without norm: residual blocks, added skips, a pixel-unshuffle stem."""

import itertools
from collections.abc import Sequence

import torch
from torch import nn


class Block(nn.Module):
    """conv, ReLU, conv, added to the input."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv0 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keeps the shape."""
        return x + self.conv1(nn.functional.relu(self.conv0(x), inplace=True))


class UNet(nn.Module):
    """Predicts the noise and subtracts it; any height and width."""

    def __init__(self, channels: int, widths: Sequence[int], blocks: int, stem: int):
        super().__init__()

        def stage(width):
            return nn.Sequential(*[Block(width) for _ in range(blocks)])

        self.multiple = stem * 2 ** (len(widths) - 1)
        self.unshuffle = nn.PixelUnshuffle(stem) if stem > 1 else nn.Identity()
        self.shuffle = nn.PixelShuffle(stem) if stem > 1 else nn.Identity()
        steps = list(itertools.pairwise(widths))
        self.head = nn.Conv2d(channels * stem**2, widths[0], 3, padding=1)
        self.encoders = nn.ModuleList([stage(width) for width in widths])
        self.downs = nn.ModuleList([nn.Conv2d(a, b, 2, stride=2) for a, b in steps])
        self.ups = nn.ModuleList([nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in steps])
        self.decoders = nn.ModuleList([stage(width) for width in widths[:-1]])
        self.tail = nn.Conv2d(widths[0], channels * stem**2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Denoises (N, C, H, W)."""
        height, width = x.shape[-2:]
        padding = (0, -width % self.multiple, 0, -height % self.multiple)
        y = nn.functional.pad(x, padding, mode="replicate") if any(padding) else x
        y = self.encoders[0](self.head(self.unshuffle(y)))
        skips = []
        for down, encoder in zip(self.downs, self.encoders[1:], strict=True):
            skips.append(y)
            y = encoder(down(y))
        for depth in reversed(range(len(self.ups))):
            y = self.decoders[depth](self.ups[depth](y) + skips[depth])
        y = self.shuffle(self.tail(y))
        return x - (y[..., :height, :width] if any(padding) else y)


build = UNet
