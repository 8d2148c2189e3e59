"""Recordings through a model: files of any length, arrays in memory, and chunks of a stream.

All of them take any sample rate and any channels, each by itself, and give as many samples as they
were given, at the same places. `zoo.audio` has the public names.
"""

from zoo.inference.recordings.arrays import denoise
from zoo.inference.recordings.files import Report, denoise_file
from zoo.inference.recordings.stream import Stream

__all__ = ["Report", "Stream", "denoise", "denoise_file"]
