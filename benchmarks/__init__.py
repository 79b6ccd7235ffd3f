"""Measurements: each script prints ratios from one interleaved run. `python -m benchmarks.NAME`."""
