"""What makes a run doubtful, in words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from search.console.plural import counted
from search.record.flags import meaning
from search.report.findings.names import capitalised
from search.report.view.data import StudyView


def flag_words(name: str) -> str:
    """The flag as a clause, or its name where it has no words."""
    return meaning(name)


@dataclass(frozen=True)
class FlagRow:
    """A flag with how many runs have it; `meaning` is empty where it has no words."""

    name: str
    meaning: str


def flags(view: StudyView) -> tuple[FlagRow, ...]:
    """The flags that occurred, the most frequent first."""
    found = Counter(name for record in view.runs for name in record.flags).most_common()
    return tuple(FlagRow(f"{name}, {counted(runs, 'run')}", _meaning(name)) for name, runs in found)


def _meaning(name: str) -> str:
    text = flag_words(name)
    return "" if text == name else f"{capitalised(text)}."
