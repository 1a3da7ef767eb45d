"""The one exception of this package that is meant for a person, in a file that imports nothing."""

from model.errors import DataError

__all__ = ["DataError"]
