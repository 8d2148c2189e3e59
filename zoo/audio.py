"""Recordings denoised: files of any length, arrays in memory, and streams.

>>> from zoo.audio import denoise_file
>>> denoise_file("noisy.flac", "clean.flac", "wiener")  # doctest: +SKIP
"""

from zoo.inference.recordings import Report, Stream, denoise, denoise_file

__all__ = ["Report", "Stream", "denoise", "denoise_file"]
