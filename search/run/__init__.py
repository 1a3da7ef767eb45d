"""One run: the meter around the training generator, and when it ends."""
