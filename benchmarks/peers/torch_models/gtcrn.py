"""GTCRN (Rong et al., ICASSP 2024), as its authors name its tensors."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

SIZE, HOP, RATE = 512, 256, 16000
LOW, BANDS, WIDTH = 65, 64, 33


def bands() -> np.ndarray:
    """The triangular filters (64, 192) that gather the bins above the 65 lowest."""
    scale = lambda hertz: 21.4 * np.log10(1 + 0.00437 * hertz)  # noqa: E731
    steps = np.linspace(scale(LOW * RATE / SIZE), scale(RATE / 2), BANDS)
    centres = np.round((10 ** (steps / 21.4) - 1) / 0.00437 * SIZE / RATE)
    filters = [np.interp(np.arange(LOW, SIZE // 2 + 1), centres, row) for row in np.eye(BANDS)]
    return np.stack(filters).astype(np.float32)


def neighbours(x: torch.Tensor) -> torch.Tensor:
    """Every bin beside the one below and the one above it: (B, C, T, F) to (B, 3 C, T, F)."""
    padded = functional.pad(x, (1, 1))
    count = x.shape[-1]
    return torch.stack([padded[..., i : i + count] for i in range(3)], 2).flatten(1, 2)


class Bands(nn.Module):
    """65 bins as they are and 192 in 64 bands, and the way back; nothing learnt."""

    def __init__(self):
        super().__init__()
        filters = torch.from_numpy(bands())
        self.erb_fc = nn.Linear(*filters.shape[::-1], bias=False)
        self.ierb_fc = nn.Linear(*filters.shape, bias=False)
        self.erb_fc.weight = nn.Parameter(filters, requires_grad=False)
        self.ierb_fc.weight = nn.Parameter(filters.T.contiguous(), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """257 bins to 129."""
        return torch.cat([x[..., :LOW], self.erb_fc(x[..., LOW:])], -1)

    def inverse(self, x: torch.Tensor) -> torch.Tensor:
        """129 to 257 bins."""
        return torch.cat([x[..., :LOW], self.ierb_fc(x[..., LOW:])], -1)


class Layer(nn.Module):
    """A convolution over frequency with a stride of 2, batch norm and an activation."""

    def __init__(self, conv: type, inputs: int, outputs: int, groups: int, act: nn.Module):
        super().__init__()
        self.conv = conv(inputs, outputs, (1, 5), (1, 2), (0, 2), groups=groups)
        self.bn = nn.BatchNorm2d(outputs)
        self.act = act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Halves F, or doubles it."""
        return self.act(self.bn(self.conv(x)))


class Attention(nn.Module):
    """A gain for each channel and frame from the energies so far."""

    def __init__(self, channels: int):
        super().__init__()
        self.att_gru = nn.GRU(channels, 2 * channels, batch_first=True)
        self.att_fc = nn.Linear(2 * channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keeps the shape (B, C, T, F)."""
        energy = x.square().mean(-1).transpose(1, 2)
        gain = torch.sigmoid(self.att_fc(self.att_gru(energy)[0]))
        return x * gain.transpose(1, 2)[..., None]


class Block(nn.Module):
    """Half of the channels through a causal depthwise convolution, then mixed with the rest."""

    def __init__(self, conv: type, dilation: int):
        super().__init__()
        self.past = 2 * dilation
        # A transposed convolution lets what is in it ring on, which its padding cuts off.
        padding = (2 * dilation if conv is nn.ConvTranspose2d else 0, 1)
        self.point_conv1 = conv(24, 16, 1)
        self.point_bn1 = nn.BatchNorm2d(16)
        self.point_act = nn.PReLU()
        self.depth_conv = conv(16, 16, 3, padding=padding, dilation=(dilation, 1), groups=16)
        self.depth_bn = nn.BatchNorm2d(16)
        self.depth_act = nn.PReLU()
        self.point_conv2 = conv(16, 8, 1)
        self.point_bn2 = nn.BatchNorm2d(8)
        self.tra = Attention(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keeps the shape (B, 16, T, F)."""
        changed, kept = x.chunk(2, 1)
        y = self.point_act(self.point_bn1(self.point_conv1(neighbours(changed))))
        y = functional.pad(y, (0, 0, self.past, 0))
        y = self.depth_act(self.depth_bn(self.depth_conv(y)))
        y = self.tra(self.point_bn2(self.point_conv2(y)))
        return torch.stack([y, kept], 2).flatten(1, 2)


class GroupedGRU(nn.Module):
    """Two GRUs, each on half of the features."""

    def __init__(self, inputs: int, hidden: int, bidirectional: bool):
        super().__init__()
        for name in ("rnn1", "rnn2"):
            gru = nn.GRU(inputs // 2, hidden // 2, batch_first=True, bidirectional=bidirectional)
            self.add_module(name, gru)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, inputs) to (B, T, hidden), or twice that where bidirectional."""
        a, b = x.chunk(2, -1)
        return torch.cat([self.rnn1(a)[0], self.rnn2(b)[0]], -1)


class DualPath(nn.Module):
    """GRUs along frequency, then along time, each added to its input."""

    def __init__(self, channels: int = 16):
        super().__init__()
        self.intra_rnn = GroupedGRU(channels, channels // 2, True)
        self.intra_fc = nn.Linear(channels, channels)
        self.intra_ln = nn.LayerNorm((WIDTH, channels), eps=1e-8)
        self.inter_rnn = GroupedGRU(channels, channels, False)
        self.inter_fc = nn.Linear(channels, channels)
        self.inter_ln = nn.LayerNorm((WIDTH, channels), eps=1e-8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keeps the shape (B, C, T, F)."""
        x = x.permute(0, 2, 3, 1)
        y = self.intra_fc(self.intra_rnn(x.flatten(0, 1))).view_as(x)
        x = x + self.intra_ln(y)
        y = x.transpose(1, 2)
        y = self.inter_fc(self.inter_rnn(y.flatten(0, 1))).view_as(y)
        return (x + self.inter_ln(y.transpose(1, 2))).permute(0, 3, 1, 2)


class Encoder(nn.Module):
    """129 bands to 33, 16 channels."""

    def __init__(self):
        super().__init__()
        layers = [Layer(nn.Conv2d, 9, 16, 1, nn.PReLU()), Layer(nn.Conv2d, 16, 16, 2, nn.PReLU())]
        self.en_convs = nn.ModuleList(layers + [Block(nn.Conv2d, d) for d in (1, 2, 5)])

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The outputs of all layers."""
        outputs = [x]
        for layer in self.en_convs:
            outputs.append(layer(outputs[-1]))
        return outputs[1:]


class Decoder(nn.Module):
    """33 bands to 129, to the two parts of a mask."""

    def __init__(self):
        super().__init__()
        conv = nn.ConvTranspose2d
        layers = [Layer(conv, 16, 16, 2, nn.PReLU()), Layer(conv, 16, 2, 1, nn.Tanh())]
        self.de_convs = nn.ModuleList([Block(conv, d) for d in (5, 2, 1)] + layers)

    def forward(self, x: torch.Tensor, skips: list[torch.Tensor]) -> torch.Tensor:
        """Takes the encoder's outputs too."""
        for layer, skip in zip(self.de_convs, reversed(skips), strict=True):
            x = layer(x + skip)
        return x


class GTCRN(nn.Module):
    """A causal network that masks the spectrum of speech at 16 kHz; 23,669 learnt values.

    `padding` is that of `torch.stft`.
    """

    def __init__(self, padding: str = "reflect"):
        super().__init__()
        self.padding = {"zero": "constant"}.get(padding, padding)
        self.erb = Bands()
        self.encoder = Encoder()
        self.dpgrnn1 = DualPath()
        self.dpgrnn2 = DualPath()
        self.decoder = Decoder()
        self.register_buffer("window", torch.hann_window(SIZE).sqrt(), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Denoises (N, C, T), each channel by itself."""
        framing = {"n_fft": SIZE, "hop_length": HOP, "window": self.window}
        spectrum = torch.stft(
            x.flatten(0, 1), **framing, pad_mode=self.padding, return_complex=True
        )
        y = torch.istft(self.enhance(spectrum), **framing, length=x.shape[-1])
        return y.view_as(x)

    def enhance(self, spectrum: torch.Tensor) -> torch.Tensor:
        """Masks (N, 257, T), complex."""
        parts = torch.view_as_real(spectrum).permute(0, 3, 2, 1)
        # Rounded as its authors have it, silence has a magnitude of 1e-6.
        magnitude = (parts.square().sum(1, keepdim=True) + 1e-12).sqrt()
        features = neighbours(self.erb(torch.cat([magnitude, parts], 1)))
        skips = self.encoder(features)
        mask = self.decoder(self.dpgrnn2(self.dpgrnn1(skips[-1])), skips)
        real, imaginary = self.erb.inverse(mask).transpose(2, 3).unbind(1)
        return spectrum * torch.complex(real, imaginary)


build = GTCRN
