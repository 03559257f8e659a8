"""Benchmark: what users feel, next to bare nginx of the same binary. `python -m e2e.bench --help`."""
