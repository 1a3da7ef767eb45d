"""What several meters counted over the same runs, as values: who is compared with whom, and how far they
agree."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from search.energy.agreement import Agreement, Pair, compare
from search.record.meter_info import Kind, SecondMeter
from search.record.outcome import Role
from search.record.record import Record

_TRUST = (Kind.MEASURED, Kind.ESTIMATED, Kind.MODELLED)  # the most trustworthy first


@dataclass(frozen=True)
class StudyMeter:
    """A meter that ran in this study. `devices`: what it counts, where that is known; `ranks`: whether the
    study ranks by it."""

    name: str
    kind: Kind
    devices: tuple[str, ...]
    ranks: bool


@dataclass(frozen=True)
class Comparison:
    """`surrogate` against the study's most trustworthy meter. `records` go with the pairs of `agreement`."""

    reference: StudyMeter
    surrogate: StudyMeter
    records: tuple[Record, ...]
    agreement: Agreement

    def record_of(self, pair: Pair) -> Record:
        return self.records[self.agreement.pairs.index(pair)]


@dataclass(frozen=True)
class Trouble:
    """Something that a side meter said of `runs` runs: a reason for no reading, or a flag."""

    meter: StudyMeter
    text: str
    runs: int


@dataclass(frozen=True)
class SideBySide:
    """All meters of the study but the reference, each against it; and what went wrong with side readings."""

    comparisons: tuple[Comparison, ...]
    unreadable: tuple[Trouble, ...]
    flagged: tuple[Trouble, ...]

    @property
    def of_the_ranking(self) -> Comparison | None:
        """Where the study ranks by a surrogate: how that compares with a meter of a more trustworthy
        kind."""
        return next((each for each in self.comparisons if each.surrogate.ranks), None)

    @property
    def measured(self) -> bool:
        """Whether a measured meter is among those compared."""
        return any(each.reference.kind is Kind.MEASURED for each in self.comparisons)


def side_by_side(records: Sequence[Record], ranked: Sequence[Record]) -> SideBySide:
    """Compare the meters over the completed runs of `records`; order and regret over those that are `ranked`.

    The reference is the meter of the most trustworthy kind (measured, then estimated, then modelled) that
    has readings: of several, the one that ranks, else the first named. Empty where one meter ran alone.
    """
    completed = [record for record in records if record.outcome.completes and not record.interrupted]
    meters = _meters(records)
    sides = [(meter, side) for record in completed for meter, side in _sides(record, meters)]
    readable = [m for m in meters if any(_joules(record, m) is not None for record in completed)]
    reference = min(readable, key=lambda meter: _TRUST.index(meter.kind), default=None)
    others = [meter for meter in readable if meter is not reference]
    return SideBySide(
        comparisons=()
        if reference is None
        else tuple(_comparison(reference, other, completed, ranked) for other in others),
        unreadable=_troubles((meter, _problem(side)) for meter, side in sides if _problem(side)),
        flagged=_troubles((meter, flag) for meter, side in sides for flag in side.flags),
    )


def _meters(records: Sequence[Record]) -> list[StudyMeter]:
    """The meter that ranks, then the others in the order in which runs name them first."""
    found: dict[str, StudyMeter] = {}
    for record in records:
        own = record.meter
        found.setdefault(own.name, StudyMeter(own.name, own.kind, _devices(own.settings), ranks=True))
        for side in record.second_meters:
            meter = StudyMeter(side.meter, side.kind, _devices(side.settings), ranks=False)
            found.setdefault(side.meter, meter)
    return list(found.values())


def _devices(settings: Mapping[str, Any]) -> tuple[str, ...]:
    devices = settings.get("devices")
    return tuple(str(device) for device in devices) if isinstance(devices, list | tuple) else ()


def _sides(record: Record, meters: Sequence[StudyMeter]) -> list[tuple[StudyMeter, SecondMeter]]:
    named = {meter.name: meter for meter in meters}
    return [(named[side.meter], side) for side in record.second_meters]


def _joules(record: Record, meter: StudyMeter) -> float | None:
    """Counted joules until the crossing where the target was reached, else until the end; None: unknown.

    A meter that counted nothing over a run's work has not counted.
    """
    if meter.ranks:
        joules = record.counted_energy_j if record.crossing is None else record.crossing.energy_j
    else:
        joules = next(
            (side.counted_energy_j for side in record.second_meters if side.meter == meter.name), None
        )
    return joules if _counted(joules) else None


def _counted(joules: float | None) -> TypeGuard[float]:
    return joules is not None and math.isfinite(joules) and joules > 0


def _problem(side: SecondMeter) -> str:
    if _counted(side.counted_energy_j):
        return ""
    return side.reason or "the meter gave no energy and no reason"


def _troubles(said: Iterable[tuple[StudyMeter, str]]) -> tuple[Trouble, ...]:
    return tuple(Trouble(meter, text, runs) for (meter, text), runs in Counter(said).most_common())


def _comparison(
    reference: StudyMeter, surrogate: StudyMeter, completed: Sequence[Record], ranked: Sequence[Record]
) -> Comparison:
    rows = [(record, _joules(record, reference), _joules(record, surrogate)) for record in completed]
    known = [(record, a, b) for record, a, b in rows if a is not None and b is not None]
    ranks = {id(record) for record in ranked}
    pairs = [Pair(_run_name(record, completed), a, b, ranks=id(record) in ranks) for record, a, b in known]
    return Comparison(reference, surrogate, tuple(record for record, _, _ in known), compare(pairs))


def _run_name(record: Record, records: Sequence[Record]) -> str:
    """How the text names a run: by its trial, which is enough for a person to find it in the table."""
    if record.role is Role.BASELINE:
        several = sum(other.role is Role.BASELINE for other in records) > 1
        return f"the baseline (trial {record.trial})" if several else "the baseline"
    return f"trial {record.trial}"
