"""The level that `zoo info` tells."""

import re

import numpy as np
import tifffile

from zoo.cli.info import of_image


def test_floats_of_any_unit_have_a_level_below_white(tmp_path):
    values = np.random.default_rng(0).normal(-1e7, 1e5, (60, 72)).astype(np.float32)
    tifffile.imwrite(tmp_path / "far.tif", values)
    reported = dict(of_image(tmp_path / "far.tif"))["noise"]
    assert 0 < float(re.search(r"about ([\d.]+)/255", reported)[1]) < 255
