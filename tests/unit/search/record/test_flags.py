from __future__ import annotations

import re
from pathlib import Path

import pytest

from search.record.flags import Flag, markdown_table, meaning

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize("flag", Flag)
def test_every_flag_has_a_meaning_in_words(flag: Flag) -> None:
    assert meaning(flag) == meaning(flag.value) == flag.meaning
    assert "_" not in flag.meaning
    assert not flag.meaning.endswith(".")


def test_an_unknown_flag_is_shown_by_its_name() -> None:
    assert meaning("of_another_version") == "of_another_version"


def test_every_flag_is_raised_somewhere() -> None:
    own = ROOT / "search" / "record" / "flags.py"
    code = "\n".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "search").rglob("*.py") if path != own
    )
    raised = set(re.findall(r"\bFlag\.([A-Z_]+)", code))
    assert raised == set(Flag.__members__)


def test_the_documentation_has_the_table_of_flags() -> None:
    text = (ROOT / "docs" / "measurement.md").read_text(encoding="utf-8")
    assert f"\n\n{markdown_table()}\n\n" in text, "put in what `python -m search.record.flags` prints"
