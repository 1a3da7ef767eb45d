"""Which kernels an exam measures, each changed alone from the baseline, and in which order. Pure.

A row of a table may not run beside the baseline's other values: Liger's kernels not under torch.compile,
FlexAttention not with dropout. It is then measured on another base, which is the baseline with those values
changed, against that base as its reference.

References and kernels alternate: R K K R K K R. A kernel is compared with the references before and after it
in the same process, so that what drifts (temperature, clocks) moves both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import fmean
from typing import Any

from model.tables import TABLES, functions
from search.space.paths import get_path, set_path

COMPILE, DROPOUT = "train.compile", "model.dropout"
PATHS = (
    COMPILE,
    "train.compile_mode",
    "train.precision",
    "model.attention",
    "optimizer.kernel",
    "model.loss",
    "model.norm",
    "model.mlp",
)
"""The tables that are measured, and whether to compile. What changes a step most stands first, since time may
run out."""

REFERENCE, COMBINATION = "reference", "the cheapest of each, together"
KERNELS_BETWEEN = 2
MOST_ATTEMPTS = 2

Changes = Mapping[str, Any]
"""What differs from the baseline, by configuration path."""


@dataclass(frozen=True)
class Case:
    """A configuration that is measured, or why it cannot run. `base`: what its reference differs in from the
    baseline; `changes`: what it differs in from its reference, nothing for the reference itself."""

    name: str
    base: Changes = field(default_factory=dict)
    changes: Changes = field(default_factory=dict)
    cannot: str = ""

    def values(self, baseline: Mapping[str, Any]) -> dict[str, Any]:
        """Its configuration."""
        return changed(baseline, {**self.base, **self.changes})


class CaseState(StrEnum):
    """UNKNOWN: it ran, and its joules are not known."""

    MEASURED = "measured"
    UNKNOWN = "joules unknown"
    FAILED = "failed"


@dataclass(frozen=True)
class Measurement:
    """A case that was run. `session` numbers the processes that measured. Joules and seconds are those of one
    step; joules are None where they are not known, never 0. `error_j`: what the meter's period may have
    moved. `around_j`, `around_s`: of set-up and compilation, by phase."""

    case: str
    base: Changes
    session: int
    state: CaseState
    reason: str = ""
    energy_j: float | None = None
    time_s: float | None = None
    error_j: float | None = None
    steps: int = 0
    window_s: float = 0.0
    around_j: Mapping[str, float] | None = None
    around_s: Mapping[str, float] = field(default_factory=dict)
    flags: Sequence[str] = ()
    at: str = ""


def changed(values: Mapping[str, Any], changes: Changes) -> dict[str, Any]:
    copy = deepcopy(dict(values))
    for path, value in changes.items():
        set_path(copy, path, value)
    return copy


def kernel_cases(
    baseline: Mapping[str, Any],
    why_not: Callable[[Mapping[str, Any]], str | None],
    tables: Sequence[str] = PATHS,
) -> tuple[Case, ...]:
    """Every row of the tables but the baseline's own, on the first base on which it runs. `why_not` says why
    a configuration cannot run here, or None."""
    cases = []
    for path in PATHS:
        if path == COMPILE and path in tables:
            toggled = {COMPILE: not get_path(baseline, COMPILE)}
            reason = why_not(changed(baseline, toggled)) or ""
            cases.append(Case(f"{COMPILE}={str(toggled[COMPILE]).lower()}", {}, toggled, reason))
        elif path in tables:
            rows = (name for name in TABLES[path] if name != get_path(baseline, path))
            cases.extend(_case(path, name, baseline, why_not) for name in rows)
    return tuple(cases)


def _case(
    path: str, name: str, baseline: Mapping[str, Any], why_not: Callable[[Mapping[str, Any]], str | None]
) -> Case:
    label, changes, first_reason = f"{path}={name}", {path: name}, ""
    for base in _bases(baseline):
        reference = changed(baseline, base)
        if not _acts(path, reference) or get_path(reference, path) == name:
            continue
        reason = why_not(changed(reference, changes))
        if reason is None and why_not(reference) is None:
            return Case(label, base, changes)
        first_reason = first_reason or reason or ""
    return Case(label, {}, changes, first_reason)


def _bases(baseline: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The baseline, and what it can be changed to for a row that does not run in it."""
    compile_ = {COMPILE: not get_path(baseline, COMPILE)}
    dropout = {DROPOUT: 0.0} if get_path(baseline, DROPOUT) > 0 else {}
    yield {}
    yield compile_
    if dropout:
        yield dropout
        yield compile_ | dropout


def _acts(path: str, values: Mapping[str, Any]) -> bool:
    """Whether a configuration reads the path at all: a mode of compilation needs compilation."""
    return path != "train.compile_mode" or bool(get_path(values, COMPILE))


def next_case(cases: Sequence[Case], measured: Sequence[Measurement], session: int) -> Case | None:
    """What this session measures next: base by base, references in between and one at the end of a base; None
    where nothing is left."""
    done = {one.case for one in measured if one.case != REFERENCE}
    waiting = [case for case in cases if not case.cannot and case.name not in done]
    here = [one for one in measured if one.session == session]
    if here and _since_reference(here) and (not waiting or waiting_base(waiting) != here[-1].base):
        return Case(REFERENCE, here[-1].base)
    if not waiting:
        return None
    base = waiting_base(waiting)
    if not here or here[-1].base != base or _since_reference(here) >= KERNELS_BETWEEN:
        return Case(REFERENCE, base)
    return next(case for case in waiting if case.base == base)


def is_hopeless(case: Case, measured: Sequence[Measurement]) -> bool:
    """Whether it is a reference that has failed as often as it may: without it nothing has a ratio."""
    failures = [
        one
        for one in measured
        if one.case == REFERENCE and one.base == case.base and one.state is CaseState.FAILED
    ]
    return case.name == REFERENCE and len(failures) >= MOST_ATTEMPTS


def waiting_base(waiting: Sequence[Case]) -> Changes:
    """The base of the kernels that come next."""
    return waiting[0].base


def in_order(cases: Sequence[Case]) -> tuple[Case, ...]:
    """Those of the baseline first, then base by base, in the order in which the bases first appear."""
    bases: list[Changes] = [{}]
    for case in cases:
        if case.base not in bases:
            bases.append(case.base)
    return tuple(sorted(cases, key=lambda case: bases.index(case.base)))


def _since_reference(here: Sequence[Measurement]) -> int:
    """How many kernels were run after the last reference."""
    count = 0
    for one in reversed(here):
        if one.case == REFERENCE:
            break
        count += 1
    return count


@dataclass(frozen=True)
class Ratio:
    """A kernel's joules and seconds a step over those of its references; None where one is unknown.
    `references`: how many stood beside it. `drift`: by how much two of them differ in joules, as a share."""

    energy: float | None
    time: float | None
    references: int
    drift: float | None


def ratio_of(index: int, measured: Sequence[Measurement]) -> Ratio:
    """Of the measurement at `index`: to the mean of the references before and after it in its session."""
    one = measured[index]
    beside = [
        found
        for side in (reversed(measured[:index]), measured[index + 1 :])
        if (found := _nearest_reference(side, one)) is not None
    ]
    joules = [found.energy_j for found in beside if found.energy_j is not None]
    seconds = [found.time_s for found in beside if found.time_s is not None]
    return Ratio(
        energy=one.energy_j / fmean(joules) if one.energy_j is not None and joules else None,
        time=one.time_s / fmean(seconds) if one.time_s is not None and seconds else None,
        references=len(beside),
        drift=abs(joules[1] / joules[0] - 1) if len(joules) == 2 else None,
    )


def _nearest_reference(
    side: Sequence[Measurement] | Iterator[Measurement], one: Measurement
) -> Measurement | None:
    return next(
        (
            found
            for found in side
            if found.case == REFERENCE and found.session == one.session and found.base == one.base
        ),
        None,
    )


def combination(
    cases: Sequence[Case],
    measured: Sequence[Measurement],
    baseline: Mapping[str, Any],
    why_not: Callable[[Mapping[str, Any]], str | None],
) -> Case | None:
    """Of each table the row that took the least joules a step, together, where they compute what the
    baseline's rows compute and were measured on the baseline; None where fewer than two save anything."""
    named = {case.name: case for case in cases if not case.base}
    best: dict[str, tuple[float, Any]] = {}
    for index, one in enumerate(measured):
        case = named.get(one.case)
        ratio = ratio_of(index, measured).energy
        if case is None or len(case.changes) != 1 or ratio is None or ratio >= 1:
            continue
        ((path, value),) = case.changes.items()
        if same_function(path, get_path(baseline, path), value) and ratio < best.get(path, (1.0, None))[0]:
            best[path] = (ratio, value)
    if len(best) < 2:
        return None
    changes = {path: value for path, (_, value) in best.items()}
    return Case(COMBINATION, {}, changes, why_not(changed(baseline, changes)) or "")


def same_function(path: str, one: Any, other: Any) -> bool:
    """Whether two rows compute the same, but for rounding; compiling changes nothing else."""
    if path not in TABLES:
        return path == COMPILE
    return any(one in group and other in group for group in functions(path))
