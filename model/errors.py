"""What data raises for a person; see `model.data`."""


class DataError(ValueError):
    """The data asked for cannot be had. The text is one line: what was expected, what came, what to type."""
