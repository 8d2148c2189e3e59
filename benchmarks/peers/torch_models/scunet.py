"""SCUNet (Zhang et al., 2023), as its authors name its tensors."""

from collections.abc import Sequence

import torch
from torch import nn

from torch_models import windows


class Attention(nn.Module):
    """Among the pixels of each window."""

    def __init__(self, width: int, head_width: int, window: int):
        super().__init__()
        self.heads = width // head_width
        side = 2 * window - 1
        self.relative_position_params = nn.Parameter(torch.zeros(self.heads, side, side))
        rows, columns = windows.offsets(window)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("columns", columns, persistent=False)
        self.embedding_layer = nn.Linear(width, 3 * width)
        self.linear = nn.Linear(width, width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Keeps the shape (N * windows, pixels, C)."""
        bias = self.relative_position_params[:, self.rows, self.columns]
        return self.linear(windows.attend(self.embedding_layer(x), bias, self.heads, mask))


class Swin(windows.Shifted):
    """Attention and a perceptron, each behind a norm and added; (N, H, W, C)."""

    def __init__(self, width: int, head_width: int, window: int, shift: int):
        super().__init__(window, shift)
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.msa = Attention(width, head_width, window)
        layers = nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        self.mlp = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keeps the shape."""
        x = x + self.around(self.ln1(x), self.msa)
        return x + self.mlp(self.ln2(x))


class Block(nn.Module):
    """A 1x1 convolution, a residual one and a Swin block on half the channels each, a 1x1."""

    def __init__(self, width: int, head_width: int, window: int, shift: int):
        super().__init__()
        half = width // 2
        self.conv1_1, self.conv1_2 = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        convs = [nn.Conv2d(half, half, 3, padding=1, bias=False) for _ in range(2)]
        self.conv_block = nn.Sequential(convs[0], nn.ReLU(inplace=True), convs[1])
        self.trans_block = Swin(half, head_width, window, shift)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keeps the shape."""
        near, far = self.conv1_1(x).chunk(2, dim=1)
        near = near + self.conv_block(near)
        far = self.trans_block(far.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return x + self.conv1_2(torch.cat([near, far], dim=1))


class SCUNet(nn.Module):
    """A U-Net of Swin-Conv blocks with added skips; any height and width."""

    def __init__(
        self, channels: int, width: int, blocks: Sequence[int], head_width: int, window: int
    ):
        super().__init__()
        self.deepest = len(blocks) // 2
        self.multiple = window * 2**self.deepest

        def stage(count, channels):
            shifts = [window // 2 if i % 2 else 0 for i in range(count)]
            return [Block(channels, head_width, window, shift) for shift in shifts]

        head = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.m_head = nn.Sequential(head)
        for i in range(self.deepest):
            fine = width * 2**i
            down = nn.Conv2d(fine, 2 * fine, 2, stride=2, bias=False)
            up = nn.ConvTranspose2d(2 * fine, fine, 2, stride=2, bias=False)
            self.add_module(f"m_down{i + 1}", nn.Sequential(*stage(blocks[i], fine), down))
            self.add_module(f"m_up{i + 1}", nn.Sequential(up, *stage(blocks[-1 - i], fine)))
        coarsest = width * 2**self.deepest
        self.m_body = nn.Sequential(*stage(blocks[self.deepest], coarsest))
        tail = nn.Conv2d(width, channels, 3, padding=1, bias=False)
        self.m_tail = nn.Sequential(tail)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Denoises (N, C, H, W)."""
        height, width = x.shape[-2:]
        padding = (0, -width % self.multiple, 0, -height % self.multiple)
        y = nn.functional.pad(x, padding, mode="replicate") if any(padding) else x
        skips = [self.m_head(y)]
        for i in range(1, self.deepest + 1):
            skips.append(getattr(self, f"m_down{i}")(skips[-1]))
        y = self.m_body(skips[-1])
        for i in reversed(range(1, self.deepest + 1)):
            y = getattr(self, f"m_up{i}")(y + skips[i])
        return self.m_tail(y + skips[0])[..., :height, :width]


build = SCUNet
