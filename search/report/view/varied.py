"""Which parameters took which values, by the kind of lever that they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.record.record import Record
from search.report.view.data import StudyView
from search.space.levers import Lever, in_words, lever_of
from search.space.paths import ABSENT


@dataclass(frozen=True)
class Varied:
    """A parameter that took more than one value. In `values`, kernels of one function stand together."""

    path: str
    lever: Lever
    values: str


def varied(view: StudyView) -> tuple[Varied, ...]:
    """What varied over all runs: levers of the model first, then of training, kernel and device."""
    records = [record for record in view.records if record.params]
    paths = dict.fromkeys(path for record in records for path in record.params)
    found = []
    for path in paths:
        values = _values(path, view.records)
        if len(values) > 1:
            found.append(Varied(path, lever_of(path, values), in_words(path, values)))
    return tuple(sorted(found, key=lambda one: list(Lever).index(one.lever)))


def _values(path: str, records: Sequence[Record]) -> list[Any]:
    """What `path` was in each run that knows it, each value once."""
    section, _, name = path.partition(".")
    values: list[Any] = []
    for record in records:
        part = record.config.get(section)
        value = record.params.get(path, part.get(name, ABSENT) if isinstance(part, Mapping) else ABSENT)
        if value is not ABSENT and value not in values:
            values.append(value)
    return values
