"""Weight files written and refused."""

import pytest

from zoo.errors import ZooError
from zoo.interop.weight_readers import read_state


def refused(path, match):
    with pytest.raises(ZooError, match=match) as caught:
        read_state(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith((str(path), "there is no", "cannot read"))
    assert len(str(caught.value)) < len(str(path)) + 300


def written(path, content):
    path.write_bytes(content)
    return path
