"""The one exception of this package that is meant for a person."""


class DataError(ValueError):
    """The data asked for cannot be had. The text is one line: what was expected, what came, what to type."""
