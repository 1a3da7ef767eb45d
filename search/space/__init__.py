"""The search space: entries by configuration path, and the configurations that they make."""
