"""From readings to joules by phase, or why there are none."""
