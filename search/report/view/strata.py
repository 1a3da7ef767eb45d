"""A study that several kinds of device worked on: each kind's runs are a stratum with a report of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from search.record.late import each_run_once
from search.record.record import Record
from search.record.stratum import Stratum, strata_of


@dataclass(frozen=True)
class OtherStratum:
    """Runs whose joules do not compare with those of this report."""

    device: Annotated[str, "As its driver or the system names it."]
    meter: Annotated[str, "Its name and its kind."]
    runs: Annotated[int, "How many there are."]
    folder: Annotated[str, "Of their report, from this one's."]


@dataclass(frozen=True)
class StratumRuns:
    """The runs of one stratum, and the folder of their report below the study's; empty for the first."""

    stratum: Stratum
    records: Sequence[Record]
    folder: str


def divided(
    records: Sequence[Record], config: Mapping[str, Any], first: Stratum | None = None
) -> list[StratumRuns]:
    """The records by stratum, each run once: that of `first`, then the one with the most runs. Only a study
    that machines share has more than one; another that mixes meters is refused when it is drawn."""
    once = each_run_once(records)
    if not str(config.get("storage", "")).startswith("postgresql"):
        return [StratumRuns(first or Stratum("", "", ""), once, "")]
    found = strata_of(once)
    if first is not None:
        found = {first: found.get(first, [])} | found
    return [
        StratumRuns(stratum, runs, f"stratum-{number}-{_slug(stratum.device)}" if number > 1 else "")
        for number, (stratum, runs) in enumerate(found.items(), start=1)
    ]


def others(strata: Sequence[StratumRuns], shown: StratumRuns) -> tuple[OtherStratum, ...]:
    """What a report of `shown` says of the rest."""
    up = "../" if shown.folder else ""
    return tuple(
        OtherStratum(one.stratum.device, one.stratum.meter, len(one.records), f"{up}{one.folder}" or ".")
        for one in strata
        if one is not shown
    )


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
