"""One page that tells of a run: made of what the run left in its workdir, and of nothing else."""

from zoo.report.page import Written, write

__all__ = ["Written", "write"]
