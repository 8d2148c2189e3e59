"""Restormer (Zamir et al., 2022), as its authors name its tensors."""

from collections.abc import Sequence

import torch
from torch import nn


def conv(inputs: int, outputs: int, size: int, groups: int = 1) -> nn.Conv2d:
    """A convolution without a bias that keeps height and width."""
    return nn.Conv2d(inputs, outputs, size, padding=size // 2, groups=groups, bias=False)


class Scale(nn.Module):
    """Divides each pixel by its deviation over the channels; with a bias it is layer norm."""

    def __init__(self, c: int, bias: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(c))
        self.bias = nn.Parameter(torch.zeros(c)) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keeps the shape (N, C, H, W)."""
        y = x.permute(0, 2, 3, 1)
        if self.bias is not None:
            y = nn.functional.layer_norm(y, y.shape[-1:], self.weight, self.bias, 1e-5)
        else:
            y = y.float()
            variance = y.var(-1, keepdim=True, correction=0)
            y = (y * torch.rsqrt(variance + 1e-5) * self.weight).to(x.dtype)
        return y.permute(0, 3, 1, 2)


class Norm(nn.Module):
    """`Scale` under the name that its authors gave it."""

    def __init__(self, c: int, bias: bool):
        super().__init__()
        self.body = Scale(c, bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keeps the shape."""
        return self.body(x)


class Attention(nn.Module):
    """Each channel becomes a mixture of its head's channels, by their correlation."""

    def __init__(self, c: int, heads: int):
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = conv(c, 3 * c, 1)
        self.qkv_dwconv = conv(3 * c, 3 * c, 3, groups=3 * c)
        self.project_out = conv(c, c, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keeps the shape."""
        n, c, h, w = x.shape
        y = self.qkv_dwconv(self.qkv(x))
        query, key, value = y.reshape(n, 3, self.heads, c // self.heads, h * w).unbind(1)
        query, key = (nn.functional.normalize(one, dim=-1) for one in (query, key))
        weights = (query @ key.transpose(-2, -1) * self.temperature).softmax(-1)
        return self.project_out((weights.to(value.dtype) @ value).reshape(n, c, h, w))


class FeedForward(nn.Module):
    """Two branches, one the gate of the other."""

    def __init__(self, c: int, expansion: float):
        super().__init__()
        inside = int(c * expansion)
        self.project_in = conv(c, 2 * inside, 1)
        self.dwconv = conv(2 * inside, 2 * inside, 3, groups=2 * inside)
        self.project_out = conv(inside, c, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keeps the shape."""
        gate, y = self.dwconv(self.project_in(x)).chunk(2, dim=1)
        return self.project_out(nn.functional.gelu(gate) * y)


class Block(nn.Module):
    """Channel attention and a gated feed-forward network, each behind a norm and added."""

    def __init__(self, c: int, heads: int, expansion: float, bias: bool):
        super().__init__()
        self.norm1, self.norm2 = Norm(c, bias), Norm(c, bias)
        self.attn = Attention(c, heads)
        self.ffn = FeedForward(c, expansion)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keeps the shape."""
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


class Down(nn.Module):
    """(N, C, 2H, 2W) to (N, 2C, H, W)."""

    def __init__(self, c: int):
        super().__init__()
        self.body = nn.Sequential(conv(c, c // 2, 3), nn.PixelUnshuffle(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Halves the sides."""
        return self.body(x)


class Up(nn.Module):
    """(N, C, H, W) to (N, C/2, 2H, 2W)."""

    def __init__(self, c: int):
        super().__init__()
        self.body = nn.Sequential(conv(c, 2 * c, 3), nn.PixelShuffle(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Doubles the sides."""
        return self.body(x)


class Embed(nn.Module):
    """The first convolution, under the name that its authors gave it."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.proj = conv(channels, width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keeps the sides."""
        return self.proj(x)


class Restormer(nn.Module):
    """A U-Net of such blocks that predicts what to add; any height and width."""

    def __init__(
        self,
        channels: int,
        width: int,
        blocks: Sequence[int],
        refinement: int,
        heads: Sequence[int],
        expansion: float,
        norm_bias: bool,
    ):
        super().__init__()
        self.levels = levels = len(blocks)
        self.multiple = 2 ** (levels - 1)

        def stage(count, c, level):
            made = [Block(c, heads[level - 1], expansion, norm_bias) for _ in range(count)]
            return nn.Sequential(*made)

        self.patch_embed = Embed(channels, width)
        for level, count in enumerate(blocks, 1):
            c = width * 2 ** (level - 1)
            last = level == levels
            name = "latent" if last else f"encoder_level{level}"
            self.add_module(name, stage(count, c, level))
            if not last:
                self.add_module(f"down{level}_{level + 1}", Down(c))
                self.add_module(f"up{level + 1}_{level}", Up(2 * c))
                # The finest level keeps both halves.
                both = c if level > 1 else 2 * c
                if level > 1:
                    self.add_module(f"reduce_chan_level{level}", conv(2 * c, c, 1))
                self.add_module(f"decoder_level{level}", stage(count, both, level))
        self.refinement = stage(refinement, 2 * width, 1)
        self.output = conv(2 * width, channels, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Denoises (N, C, H, W)."""
        height, width = x.shape[-2:]
        padding = (0, -width % self.multiple, 0, -height % self.multiple)
        y = nn.functional.pad(x, padding, mode="reflect") if any(padding) else x
        y, skips = self.patch_embed(y), []
        for level in range(1, self.levels):
            y = getattr(self, f"encoder_level{level}")(y)
            skips.append(y)
            y = getattr(self, f"down{level}_{level + 1}")(y)
        y = self.latent(y)
        for level in reversed(range(1, self.levels)):
            y = getattr(self, f"up{level + 1}_{level}")(y)
            y = torch.cat([y, skips.pop()], dim=1)
            if level > 1:
                y = getattr(self, f"reduce_chan_level{level}")(y)
            y = getattr(self, f"decoder_level{level}")(y)
        return x + self.output(self.refinement(y))[..., :height, :width]


build = Restormer
