"""What is said of a study: the view in sentences and in the texts of tables.

`study_findings` has all that the page prints; the terminal prints parts of it. Every sentence has
its one home here.
"""
