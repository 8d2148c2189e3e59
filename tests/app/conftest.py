"""A server for the tests of a module."""

import pytest
from app_server import serving


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server of its own: its address, the folder that all its files are below, and its number."""
    with serving(tmp_path_factory.mktemp("server")) as made:
        yield made
