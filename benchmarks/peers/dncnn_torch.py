"""The PyTorch side of dncnn_set.py: denoises the pictures of a file again and again, on request.

Runs in an environment of its own, with nothing but torch and numpy. Each line on standard input is
answered by the seconds one pass over all pictures took; the first answer is the mean PSNR.
"""

import sys
import time

import numpy as np
import torch
from torch import nn

pictures, weights, layout, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
state = torch.load(weights, weights_only=True)
layers = []
for i in range(len(state) // 2):
    kernel = state[f"model.{2 * i}.weight"]
    layers += [nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1), nn.ReLU(inplace=True)]
net = nn.Sequential(*layers[:-1])
net.load_state_dict({key.removeprefix("model."): value for key, value in state.items()})
net.eval()
if layout == "channels_last":
    net = net.to(memory_format=torch.channels_last)

stored = np.load(pictures)
clean = [stored[f"clean{i}"] for i in range(len(stored) // 2)]
noisy = [torch.from_numpy(stored[f"noisy{i}"])[None, None] for i in range(len(stored) // 2)]


@torch.inference_mode()
def run():
    """All pictures once, each clipped and rounded to 8 bits."""
    outputs = []
    for picture in noisy:
        output = picture - net(picture)
        outputs.append((output.clamp(0, 1) * 255).round().to(torch.uint8)[0, 0].numpy())
    return outputs


errors = [np.mean((o.astype(float) - c) ** 2) for o, c in zip(run(), clean, strict=True)]
print(np.mean([10 * np.log10(255**2 / error) for error in errors]), flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    run()
    print(time.perf_counter() - start, flush=True)
