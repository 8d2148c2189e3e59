"""Pictures through a model: arrays and files of any size in flat memory, whole or tile by tile."""

from zoo.inference.pictures.arrays import denoise
from zoo.inference.pictures.denoiser import Denoised, Denoiser
from zoo.inference.pictures.files import Report, denoise_file

__all__ = ["Denoised", "Denoiser", "Report", "denoise", "denoise_file"]
