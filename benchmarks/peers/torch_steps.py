"""One step in PyTorch as one writes it there for speed: the work of `zoo.train.step`, no less.

Training: a crop of images that lie on the device as uint8, mirrored, Gaussian noise, Charbonnier
loss, Adam (fused), an average of the parameters, and the metrics loss, psnr and gradient norm.
Inference: one batch through the network.
"""

import copy
from collections.abc import Callable

import torch
import torch_variants
from torch import nn
from torch_models.windows import settle

SIGMA, EPS, DECAY, RATE = 25 / 255, 1e-3, 0.999, 1e-3
IMAGES = 8
"""In memory, twice as high and wide as a crop."""


def autocast(device: str, dtype: str):
    """Where the computation runs in bfloat16, if it is to."""
    return torch.autocast(device, dtype=torch.bfloat16, enabled=dtype == "bf16")


def infer(net: nn.Module, shape: tuple, *, device: str, dtype: str, variant: str) -> Callable:
    """A function that denoises (N, C, H, W) or (N, C, T); it does not wait for the device."""
    mode, layout = torch_variants.parse(variant)
    net = copy.deepcopy(net).eval().to(memory_format=layout)
    settle(net, shape, device)
    x = torch.rand(shape, device=device).contiguous(memory_format=layout)
    run = torch_variants.compiled(net, mode)

    @torch.inference_mode()
    def step():
        with autocast(device, dtype):
            return run(x)

    return step


def train(net: nn.Module, shape: tuple, *, device: str, dtype: str, variant: str) -> Callable:
    """A function that takes one training step; it does not wait for the device.

    Args:
      net: the network, which is copied.
      shape: (N, C, H, W) of a batch.
      device: `"cpu"` or `"cuda"`.
      dtype: `"f32"` or `"bf16"`, which is autocast.
      variant: a name of `torch_variants`.
    """
    mode, layout = torch_variants.parse(variant)
    net = copy.deepcopy(net).train().to(memory_format=layout)
    settle(net, shape, device)
    average = copy.deepcopy(net).requires_grad_(False)
    parameters, averages = list(net.parameters()), list(average.parameters())
    optimizer = torch.optim.Adam(parameters, RATE, fused=True)
    n, channels, height, width = shape
    bank = torch.randint(
        256, (IMAGES, 2 * height, 2 * width, channels), dtype=torch.uint8, device=device
    )
    down, right = (torch.arange(side, device=device) for side in (height, width))

    def corners(side):
        """Where each crop begins and whether it is mirrored, (N, 1) each."""
        start = torch.randint(side + 1, (n, 1), device=device)
        return start, torch.randint(2, (n, 1), device=device, dtype=torch.bool)

    def prepare():
        """Crops, mirrored as they are fetched, and the same with noise."""
        (top, upside), (left, mirrored) = corners(height), corners(width)
        rows = top + torch.where(upside, height - 1 - down, down)
        columns = left + torch.where(mirrored, width - 1 - right, right)
        image = torch.randint(IMAGES, (n, 1, 1), device=device)
        crops = bank[image, rows[:, :, None], columns[:, None, :]]
        clean = crops.permute(0, 3, 1, 2).to(torch.float32, memory_format=layout).div_(255)
        return clean, torch.randn_like(clean).mul_(SIGMA).add_(clean)

    def objective(noisy, clean):
        with autocast(device, dtype):
            prediction = net(noisy)
        prediction = prediction.float()
        loss = ((prediction - clean).square() + EPS**2).sqrt().mean()
        with torch.no_grad():
            psnr = -10 * (prediction.clamp(0, 1) - clean).square().mean().log10()
        return loss, psnr

    if device == "cuda":
        # There it saves a dozen launches; on a CPU eager code draws the normals faster.
        prepare = torch_variants.compiled(prepare, mode)
    objective = torch_variants.compiled(objective, mode)
    count = 0

    def step():
        nonlocal count
        optimizer.zero_grad(set_to_none=True)
        if device == "cuda":
            torch.compiler.cudagraph_mark_step_begin()
        clean, noisy = prepare()
        loss, psnr = objective(noisy, clean)
        loss.backward()
        norm = nn.utils.get_total_norm([p.grad for p in parameters])
        optimizer.step()
        decay = min(DECAY, (1 + count) / (10 + count))
        torch._foreach_lerp_(averages, [p.detach() for p in parameters], 1 - decay)
        count += 1
        return loss, psnr, norm

    return step
