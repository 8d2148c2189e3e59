"""Audio files in and out: wav, flac, ogg (Vorbis) and mp3, by soundfile.

A recording is an array `(T, C)`, T samples of C channels: int16, or float32 where full scale is
[-1, 1]. A float file may pass full scale, as mixers make it; integers are clipped to it.
"""

from zoo.data.recordings.facts import LOUDEST, SUFFIXES, Info, check
from zoo.data.recordings.reading import blocks, info, read
from zoo.data.recordings.writing import write, writing

__all__ = ["LOUDEST", "SUFFIXES", "Info", "blocks", "check", "info", "read", "write", "writing"]
