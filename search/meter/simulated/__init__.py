"""A machine that is not there, measured by the code that measures real ones."""
