"""What is kept of a run, as frozen values, and what they mean."""
