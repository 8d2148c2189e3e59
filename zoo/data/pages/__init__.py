"""Picture files with all that is in them: every page, its own depth, alpha, and what goes beside.

`read_pages` and `write_pages` are for those who hand a file back to whom it belongs;
`zoo.data.images` is for those who want pixels.
"""

from zoo.data.pages.facts import Kept, Page
from zoo.data.pages.fitting import fitting
from zoo.data.pages.reading import Pages, read_pages
from zoo.data.pages.writing import write_pages, writing

__all__ = [
    "Kept",
    "Page",
    "Pages",
    "fitting",
    "read_pages",
    "write_pages",
    "writing",
]
