"""DRUNet (Zhang et al., 2021), as KAIR names its tensors."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn


class Block(nn.Module):
    """conv, ReLU, conv, added to the input."""

    def __init__(self, channels: int):
        super().__init__()
        convs = [nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2)]
        self.res = nn.Sequential(convs[0], nn.ReLU(inplace=True), convs[1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keeps the shape."""
        return x + self.res(x)


class DRUNet(nn.Module):
    """A U-Net of residual blocks without biases, given the noise level; any height and width."""

    def __init__(self, channels: int, widths: Sequence[int], blocks: int):
        super().__init__()
        steps = list(pairwise(widths))

        def stage(width):
            return [Block(width) for _ in range(blocks)]

        self.multiple = 2 ** len(steps)
        self.depths = len(steps)
        self.m_head = nn.Conv2d(channels + 1, widths[0], 3, padding=1, bias=False)
        for i, (fine, coarse) in enumerate(steps, 1):
            down = nn.Conv2d(fine, coarse, 2, stride=2, bias=False)
            up = nn.ConvTranspose2d(coarse, fine, 2, stride=2, bias=False)
            self.add_module(f"m_down{i}", nn.Sequential(*stage(fine), down))
            self.add_module(f"m_up{i}", nn.Sequential(up, *stage(fine)))
        self.m_body = nn.Sequential(*stage(widths[-1]))
        self.m_tail = nn.Conv2d(widths[0], channels, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor, level: float = 0.1) -> torch.Tensor:
        """Denoises (N, C, H, W); `level` is the standard deviation of its noise."""
        height, width = x.shape[-2:]
        padding = (0, -width % self.multiple, 0, -height % self.multiple)
        y = nn.functional.pad(x, padding, mode="replicate") if any(padding) else x
        y = torch.cat([y, torch.full_like(y[:, :1], level)], dim=1)
        skips = [self.m_head(y)]
        for i in range(1, self.depths + 1):
            skips.append(getattr(self, f"m_down{i}")(skips[-1]))
        y = self.m_body(skips[-1])
        for i in reversed(range(1, self.depths + 1)):
            y = getattr(self, f"m_up{i}")(y + skips[i])
        return self.m_tail(y + skips[0])[..., :height, :width]


build = DRUNet
