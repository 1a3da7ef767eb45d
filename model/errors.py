"""What data raises for a person (see `model.data`), and any error in one line."""


class DataError(ValueError):
    """The data asked for cannot be had. The text is one line: what was expected, what came, what to type."""


def one_line(error: BaseException, length: int = 400) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:length]
