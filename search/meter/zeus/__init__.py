"""AMD GPUs, Apple silicon and Jetson, by the zeus package."""
