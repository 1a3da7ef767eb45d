"""What reads joules. `choose` has the table of meters, `base` says what one is."""
