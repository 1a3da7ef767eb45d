"""What a reader must know before comparing the runs of a study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from search.record.record import Record, part_of
from search.record.unseen import MANY, unseen_words
from search.report.view.data import StudyView


def notes(view: StudyView) -> tuple[str, ...]:
    """Machines or code that differ, words of the text that training never saw, runs that cannot rank."""
    found = [note for part in ("hardware", "software", "code") if (note := _differing(view.records, part))]
    if any(part_of(record.provenance, "code").get("git_dirty") for record in view.records):
        found.append("Some runs were made by code with uncommitted changes, which its commit does not name.")
    if view.problem.unseen_share > MANY:
        found.append(f"{unseen_words(view.problem.unseen_share)}.")
    if view.unranked:
        named = ", ".join(str(record.trial) for record in view.unranked)
        found.append(
            f"Reached the target without a value of every objective, and so cannot rank: trial {named}."
        )
    if view.records and view.baseline is None:
        found.append("No baseline run has finished, so there is nothing to compare the trials with.")
    return tuple(found)


def _differing(records: Sequence[Record], part: str) -> str:
    known = [found for record in records if (found := part_of(record.provenance, part))]
    keys = dict.fromkeys(key for mapping in known for key in mapping)
    differing = [key for key in keys if not _all_same([mapping.get(key) for mapping in known])]
    return f"The runs do not share one {part}; these differ: {', '.join(differing)}." if differing else ""


def _all_same(values: Sequence[Any]) -> bool:
    return all(value == values[0] for value in values)
