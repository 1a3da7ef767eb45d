"""An argument parser whose errors take one line."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong and shows `example`; argparse alone would print its usage first."""

    def __init__(self, *, example: str, **options: Any) -> None:
        super().__init__(epilog=f"{options.pop('epilog', '')} Example: {example}".strip(), **options)
        self._example = example

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; for example: {self._example}\n")
