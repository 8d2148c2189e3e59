"""Attention inside square windows, plain or shifted, as the Swin Transformer has it."""

import torch
from torch import nn


def partition(x: torch.Tensor, window: int) -> torch.Tensor:
    """(N, H, W, C) to (N * windows, window * window, C)."""
    n, h, w, c = x.shape
    x = x.reshape(n, h // window, window, w // window, window, c).transpose(2, 3)
    return x.reshape(-1, window * window, c)


def merge(x: torch.Tensor, window: int, height: int, width: int) -> torch.Tensor:
    """The inverse of `partition`."""
    c = x.shape[-1]
    x = x.view(-1, height // window, width // window, window, window, c).transpose(2, 3)
    return x.reshape(-1, height, width, c)


def offsets(window: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and columns that a pixel of a window lies from each other, counted from 0."""
    at = torch.stack(torch.meshgrid(*[torch.arange(window)] * 2, indexing="ij")).flatten(1)
    rows, columns = at[:, :, None] - at[:, None, :] + window - 1
    return rows, columns


def mask(height: int, width: int, window: int, shift: int, device) -> torch.Tensor:
    """What to add so that opposite borders do not see each other: (windows, 1, pixels, pixels)."""
    rows = torch.arange(height, device=device) >= height - shift
    columns = torch.arange(width, device=device) >= width - shift
    sides = 2 * rows[:, None].int() + columns[None].int()
    sides = partition(sides[None, ..., None], window)[..., 0]
    apart = sides[:, :, None] != sides[:, None, :]
    return torch.zeros(apart.shape, device=device).masked_fill(apart, -1e9)[:, None]


def attend(
    qkv: torch.Tensor, bias: torch.Tensor, heads: int, masked: torch.Tensor | None
) -> torch.Tensor:
    """Attention of (N * windows, pixels, 3 C) with a bias (heads, pixels, pixels)."""
    count, pixels, c = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    parts = qkv.view(count, pixels, 3, heads, c // heads).permute(2, 0, 3, 1, 4)
    added = bias[None]
    if masked is not None:
        # Windows beside heads: so one bias a window serves the whole batch, without copies.
        parts = parts.reshape(3, count // len(masked), -1, pixels, c // heads)
        added = (added + masked).flatten(0, 1)[None]
    query, key, value = parts
    added = added.to(query.dtype).expand(len(query), -1, -1, -1)
    y = nn.functional.scaled_dot_product_attention(query, key, value, added)
    y = y.reshape(count, heads, pixels, c // heads)
    return y.transpose(1, 2).reshape(count, pixels, c)


class Shifted(nn.Module):
    """A block of shifted windows, which keeps its mask for images of one size."""

    def __init__(self, window: int, shift: int):
        super().__init__()
        self.window, self.shift = window, shift
        self.kept: tuple[int, int] | None = None
        self.register_buffer("mask", None, persistent=False)

    def masked(self, x: torch.Tensor) -> torch.Tensor | None:
        """The mask for (N, H, W, C); None where nothing is shifted."""
        h, w = x.shape[1:3]
        if not self.shift or self.kept == (h, w):
            return self.mask
        return mask(h, w, self.window, self.shift, x.device)

    def around(self, x: torch.Tensor, attention: nn.Module) -> torch.Tensor:
        """Attention in the windows of (N, H, W, C)."""
        h, w = x.shape[1:3]
        masked = self.masked(x)
        if self.shift:
            x = x.roll((-self.shift, -self.shift), (1, 2))
        y = merge(attention(partition(x, self.window), masked), self.window, h, w)
        return y.roll((self.shift, self.shift), (1, 2)) if self.shift else y


@torch.no_grad()
def settle(net: nn.Module, shape: tuple, device: str) -> None:
    """Makes the masks for a batch of this shape once, so that no step has to."""
    blocks = [one for one in net.modules() if isinstance(one, Shifted) and one.shift]
    if not blocks:
        return
    made = {}

    def keep(block, inputs):
        x = inputs[0]
        size = (*x.shape[1:3], block.window, block.shift)
        if size not in made:
            made[size] = mask(*size, x.device)
        block.mask, block.kept = made[size], size[:2]

    hooks = [block.register_forward_pre_hook(keep) for block in blocks]
    net(torch.rand((1, *shape[1:]), device=device))
    for hook in hooks:
        hook.remove()
