"""Models at work: images and audio of any size through any of them, in flat memory.

`zoo.denoise` and `zoo.denoise_file` take either, and `zoo.adapt` adapts a denoiser to the noise of
an image; here are the parts for many images and for streams. Audio may have any sample rate and any
channels; as many samples come out as go in, at the same places.
"""

from zoo.inference.adaptation import (
    Adapted,
    adapt,
    adapt_file,
    load_adapted,
)
from zoo.inference.audio_stream import AudioStream
from zoo.inference.denoise_audio import AudioReport, denoise_audio_file
from zoo.inference.denoise_images import ImageReport, denoise_image_file
from zoo.inference.denoise_video import VideoReport, denoise_video_file
from zoo.inference.denoising import denoise, denoise_file
from zoo.inference.diffusion import denoise_diffusion_file
from zoo.inference.image_denoiser import Denoised, ImageDenoiser
from zoo.inference.noise_curve import AdaptedDenoiser

__all__ = [
    "Adapted",
    "AdaptedDenoiser",
    "AudioReport",
    "AudioStream",
    "Denoised",
    "ImageDenoiser",
    "ImageReport",
    "VideoReport",
    "adapt",
    "adapt_file",
    "denoise",
    "denoise_audio_file",
    "denoise_diffusion_file",
    "denoise_file",
    "denoise_image_file",
    "denoise_video_file",
    "load_adapted",
]
