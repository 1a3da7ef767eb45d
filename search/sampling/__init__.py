"""What to try next, from the records of what was tried."""
