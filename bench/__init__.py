"""The benchmark: `make bench`, or `python -m bench --help`. What it measures, and how, stands in README.md."""
