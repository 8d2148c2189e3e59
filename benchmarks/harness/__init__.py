"""What every benchmark shares: a clock, the machine, the work to time, and tables of results.

`python benchmarks/x.py` puts this folder's parent first on `sys.path`, hence `import harness`.
"""
