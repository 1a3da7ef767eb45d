"""A study by which another one's space was narrowed: what it cost is part of what the other one costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from search.record.meter_info import Kind


@dataclass(frozen=True)
class PriorStudy:
    """A study by which this one's space was narrowed."""

    study: Annotated[str, "Its name."]
    energy_j: Annotated[float, "Gross joules of all of its runs where they are known."]
    kind: Annotated[Kind, "What its joules are: the same as those of this study."]
