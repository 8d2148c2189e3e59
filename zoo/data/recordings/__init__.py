"""Audio files in and out, by soundfile; and in by PyAV, what libsndfile does not know.

A recording is an array `(T, C)`, T samples of C channels: int16, or float32 where full scale is
[-1, 1]. A float file may pass full scale, as mixers make it; integers are clipped to it.
"""

from zoo.data.recordings.facts import FORMATS, LOUDEST, READ_ONLY, SUFFIXES, Info, check
from zoo.data.recordings.reading import blocks, info, read, remarks
from zoo.data.recordings.writing import write, writing

__all__ = [
    "FORMATS",
    "LOUDEST",
    "READ_ONLY",
    "SUFFIXES",
    "Info",
    "blocks",
    "check",
    "info",
    "read",
    "remarks",
    "write",
    "writing",
]
