"""Memory kept: what a process frees and takes again costs no page faults."""

import subprocess
import sys

import pytest

TWICE = """
import resource, sys
from zoo import memory
if sys.argv[1] == "keep":
    assert memory.keep()
import numpy as np

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' C libraries are left alone")
def test_a_block_taken_again_is_not_cleared_again():
    def faults(how):
        command = [sys.executable, "-c", TWICE, how]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert faults("keep") < 100 < faults("leave")
