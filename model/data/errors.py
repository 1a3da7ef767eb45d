"""The one exception of this package that is meant for a person; it lives where it costs no import of data."""

from model.errors import DataError

__all__ = ["DataError"]
