from __future__ import annotations

import pytest

from search.console.plural import counted


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs"), (1234, "1,234 runs")]
)
def test_a_noun_goes_with_its_number(number: int, text: str) -> None:
    assert counted(number, "run") == text


def test_a_noun_may_have_a_plural_of_its_own() -> None:
    assert counted(2, "entry", "entries") == "2 entries"
