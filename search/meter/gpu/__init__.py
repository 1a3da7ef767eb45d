"""NVIDIA GPUs: the rules of the meter, and below a seam the library."""
