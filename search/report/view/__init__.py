"""What the records of a study say, as values: `study_view` computes them, everything else only tells them."""
