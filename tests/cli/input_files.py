"""Files, folders and streams that commands are given in tests."""

import io

import numpy as np
import soundfile
from PIL import Image

GRAY = Image.fromarray(np.zeros((4, 4), np.uint8))


def make_image(form="PNG"):
    out = io.BytesIO()
    GRAY.save(out, form)
    return out.getvalue()


def sound(form="WAV", subtype=None):
    out = io.BytesIO()
    soundfile.write(out, np.zeros(2000), 16000, format=form, subtype=subtype)
    return out.getvalue()


def put(root, contents):
    for name, data in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


class Stream(io.TextIOWrapper):
    def __init__(self, data=b"", terminal=False):
        super().__init__(io.BytesIO(data))
        self.isatty = lambda: terminal
