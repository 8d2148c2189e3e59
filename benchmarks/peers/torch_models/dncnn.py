"""DnCNN (Zhang et al., 2017) without batch norm, as KAIR names its tensors."""

import torch
from torch import nn


class DnCNN(nn.Module):
    """A chain of 3x3 convolutions with ReLU that predicts the noise."""

    def __init__(self, channels: int, depth: int, width: int):
        super().__init__()
        layers = [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
        for _ in range(depth - 2):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True)]
        layers.append(nn.Conv2d(width, channels, 3, padding=1))
        self.model = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Denoises (N, C, H, W)."""
        return x - self.model(x)


build = DnCNN
