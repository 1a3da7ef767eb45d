"""One configuration alone: `python -m search.train`."""
