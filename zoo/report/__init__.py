"""A report of a training run as one web page, made from the files in its workdir."""

from zoo.report.report_page import Written, write

__all__ = ["Written", "write"]
