"""FFDNet (Zhang et al., 2018), as KAIR names its tensors."""

import torch
from torch import nn


class FFDNet(nn.Module):
    """A chain of 3x3 convolutions with ReLU at half resolution, given the noise level."""

    def __init__(self, channels: int, depth: int, width: int):
        super().__init__()
        layers = [nn.Conv2d(4 * channels + 1, width, 3, padding=1), nn.ReLU(inplace=True)]
        for _ in range(depth - 2):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True)]
        layers.append(nn.Conv2d(width, 4 * channels, 3, padding=1))
        self.model = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor, level: float = 0.1) -> torch.Tensor:
        """Denoises (N, C, H, W); `level` is the standard deviation of its noise."""
        height, width = x.shape[-2:]
        odd = (0, width % 2, 0, height % 2)
        y = nn.functional.pad(x, odd, mode="replicate") if any(odd) else x
        y = nn.functional.pixel_unshuffle(y, 2)
        y = torch.cat([y, torch.full_like(y[:, :1], level)], dim=1)
        y = nn.functional.pixel_shuffle(self.model(y), 2)
        return y[..., :height, :width] if any(odd) else y


build = FFDNet
