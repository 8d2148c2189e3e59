"""SwinIR (Liang et al., 2021) for denoising, as its authors name its tensors."""

from collections.abc import Sequence

import torch
from torch import nn

from torch_models import windows

MEAN = (0.4488, 0.4371, 0.4040)


class Attention(nn.Module):
    """Among the pixels of each window."""

    def __init__(self, width: int, heads: int, window: int):
        super().__init__()
        self.heads = heads
        table = torch.zeros((2 * window - 1) ** 2, heads)
        self.relative_position_bias_table = nn.Parameter(table)
        rows, columns = windows.offsets(window)
        self.register_buffer("place", rows * (2 * window - 1) + columns, persistent=False)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Keeps the shape (N * windows, pixels, C)."""
        bias = self.relative_position_bias_table[self.place].permute(2, 0, 1)
        return self.proj(windows.attend(self.qkv(x), bias, self.heads, mask))


class Block(windows.Shifted):
    """Attention and a perceptron, each behind a norm and added; (N, H, W, C)."""

    def __init__(self, width: int, heads: int, window: int, shift: int, expansion: float):
        super().__init__(window, shift)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Attention(width, heads, window)
        inside = int(expansion * width)
        self.mlp = nn.Sequential()
        self.mlp.add_module("fc1", nn.Linear(width, inside))
        self.mlp.add_module("act", nn.GELU())
        self.mlp.add_module("fc2", nn.Linear(inside, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keeps the shape."""
        x = x + self.around(self.norm1(x), self.attn)
        return x + self.mlp(self.norm2(x))


class Group(nn.Module):
    """The blocks of a stage."""

    def __init__(self, depth: int, width: int, heads: int, window: int, expansion: float):
        super().__init__()
        shifts = [window // 2 if i % 2 else 0 for i in range(depth)]
        self.blocks = nn.ModuleList([Block(width, heads, window, s, expansion) for s in shifts])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keeps the shape."""
        for block in self.blocks:
            x = block(x)
        return x


class Stage(nn.Module):
    """Blocks and a convolution, added to the input; (N, H, W, C)."""

    def __init__(self, depth: int, width: int, *rest):
        super().__init__()
        self.residual_group = Group(depth, width, *rest)
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keeps the shape."""
        return x + self.conv(self.residual_group(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class SwinIR(nn.Module):
    """Transformer blocks at full resolution, added to the image; any height and width."""

    def __init__(
        self,
        channels: int,
        width: int,
        depths: Sequence[int],
        heads: int,
        window: int,
        expansion: float,
    ):
        super().__init__()
        self.window = window
        mean = torch.tensor(MEAN if channels == 3 else (0.0,) * channels)
        self.register_buffer("mean", mean[:, None, None], persistent=False)
        self.conv_first = nn.Conv2d(channels, width, 3, padding=1)
        self.patch_embed = nn.Sequential()
        self.patch_embed.add_module("norm", nn.LayerNorm(width))
        stages = [Stage(depth, width, heads, window, expansion) for depth in depths]
        self.layers = nn.ModuleList(stages)
        self.norm = nn.LayerNorm(width)
        self.conv_after_body = nn.Conv2d(width, width, 3, padding=1)
        self.conv_last = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Denoises (N, C, H, W)."""
        height, width = x.shape[-2:]
        padding = (0, -width % self.window, 0, -height % self.window)
        y = nn.functional.pad(x, padding, mode="reflect") if any(padding) else x
        first = self.conv_first(y - self.mean)
        y = self.patch_embed(first.permute(0, 2, 3, 1))
        for stage in self.layers:
            y = stage(y)
        y = first + self.conv_after_body(self.norm(y).permute(0, 3, 1, 2))
        return x + self.conv_last(y)[..., :height, :width]


build = SwinIR
