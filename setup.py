"""Adds the folder `configs/` to the package `zoo`; all else is in `pyproject.toml`."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["zoo", "zoo.*"]), "zoo.configs"],
    package_dir={"zoo.configs": "configs"},
)
