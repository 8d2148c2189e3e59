"""The parts of `benchmarks/accelerator.py`, each of which runs as a process of its own.

`plan` says what there is and in which order, `children` starts a part and ends it in time, `kept`
holds the rows and what was left out, `summary` writes the page. The others are the parts; `speak`
is their way to tell the parent what they measured.
"""
