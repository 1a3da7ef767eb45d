"""`report.html`: the findings and the figures, printed by one template a section."""
