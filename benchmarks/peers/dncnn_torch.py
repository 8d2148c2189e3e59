"""The PyTorch side of dncnn_set.py: denoises the images of a file again and again, on request.

Runs in an environment of its own, with nothing but torch and numpy.
"""

import sys
import time

import numpy as np
import torch
from torch_models.dncnn import DnCNN
from torch_serve import serve


def main():
    """Loads the network and the images, then answers."""
    images, weights, layout, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    state = torch.load(weights, weights_only=True)
    width, channels = state["model.0.weight"].shape[:2]
    net = DnCNN(channels, len(state) // 2, width)
    net.load_state_dict(state)
    net.eval()
    if layout == "channels_last":
        net = net.to(memory_format=torch.channels_last)

    stored = np.load(images)
    clean = [stored[f"clean{i}"] for i in range(len(stored) // 2)]
    noisy = [torch.from_numpy(stored[f"noisy{i}"])[None, None] for i in range(len(stored) // 2)]

    @torch.inference_mode()
    def denoise():
        """All images once, each clipped and rounded to 8 bits."""
        outputs = [(net(x).clamp(0, 1) * 255).round().to(torch.uint8) for x in noisy]
        return [output[0, 0].numpy() for output in outputs]

    def psnr():
        errors = [
            np.mean((o.astype(float) - c) ** 2) for o, c in zip(denoise(), clean, strict=True)
        ]
        return {"psnr": np.mean([10 * np.log10(255**2 / error) for error in errors])}

    def timed():
        start = time.perf_counter()
        denoise()
        return {"seconds": time.perf_counter() - start}

    serve({"psnr": psnr, "time": timed})


if __name__ == "__main__":
    main()
