"""What a trained model writes: `python -m search.sample`."""
