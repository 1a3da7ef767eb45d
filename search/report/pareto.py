"""The Pareto front as plain values, and the words below its figure; `pareto_figure` draws it.

Runs that reached the target lie in planes, one for each pair of objectives. Runs that did not lie in a strip
of their own below: what they had spent is a lower bound, and must not look cheap beside a result.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search.console.plural import counted
from search.record.outcome import Role
from search.record.record import Record
from search.report import style, words
from search.report.data import StudyView


@dataclass(frozen=True)
class Mark:
    """One run by the axes of the figure. The lows are where its crossing's interval begins."""

    trial: int
    values: Mapping[str, float]
    lows: Mapping[str, float]
    lines: tuple[str, ...]


@dataclass(frozen=True)
class ParetoInfo:
    """Runs by what they are: `front`, `feasible` (each `lookup_` where the run is lookup-like), `replicate`
    and `baseline` in `reached`; `baseline` or an outcome in `missed`.

    `axes` are the objectives; with a single one, seconds (or joules) stand beside it and rank nothing.
    `staircases` are the corners of the fronts: `without_lookup` and, where that is another one,
    `with_lookup`. There are none where there are not two objectives.
    """

    objectives: tuple[str, ...]
    axes: tuple[str, ...]
    reached: Mapping[str, tuple[Mark, ...]]
    missed: Mapping[str, tuple[Mark, ...]]
    staircases: Mapping[str, tuple[tuple[float, ...], ...]]
    kind: str
    undrawn: int

    @property
    def planes(self) -> tuple[tuple[str, str], ...]:
        """(x, y) of each plane: every pair of axes."""
        return tuple(itertools.combinations(self.axes, 2))

    @property
    def has_marks(self) -> bool:
        return bool(self.reached or self.missed)

    def values(self, axis: str, *, missed: bool) -> list[float]:
        groups = (*self.reached.values(), *(self.missed.values() if missed else ()))
        return [mark.values[axis] for marks in groups for mark in marks]


def pareto_info(view: StudyView) -> ParetoInfo:
    """Every run whose values are known on every axis."""
    axes = _axes(view.objectives)
    reached: dict[str, list[Mark]] = {}
    missed: dict[str, list[Mark]] = {}
    undrawn = 0
    for record in view.to_the_target:
        mark = _mark(view, record, axes)
        if mark is None or record.interrupted:
            undrawn += 1
        else:
            groups = reached if record.feasible else missed
            groups.setdefault(group_of(view, record), []).append(mark)
    return ParetoInfo(
        objectives=view.objectives,
        axes=axes,
        reached=_sorted(reached, axes[0]),
        missed=_sorted(missed, axes[0]),
        staircases=_staircases(view),
        kind=words.kind_words(view),
        undrawn=undrawn,
    )


def _axes(objectives: tuple[str, ...]) -> tuple[str, ...]:
    if len(objectives) > 1:
        return objectives
    beside = "energy_to_target_j" if objectives[0] == "time_to_target_s" else "time_to_target_s"
    return (objectives[0], beside)


def _sorted(groups: Mapping[str, list[Mark]], axis: str) -> dict[str, tuple[Mark, ...]]:
    return {name: tuple(sorted(marks, key=lambda mark: mark.values[axis])) for name, marks in groups.items()}


def _staircases(view: StudyView) -> dict[str, tuple[tuple[float, ...], ...]]:
    if len(view.objectives) != 2:
        return {}
    fronts = {"with_lookup": view.front} if view.fronts_differ else {}
    fronts["without_lookup"] = view.front_without_lookup
    return {name: tuple(map(view.values, front)) for name, front in fronts.items()}


def group_of(view: StudyView, record: Record) -> str:
    if record is view.baseline:
        return "baseline"
    ranked = "front" if any(record is other for other in view.shown) else "feasible"
    if view.is_apart(record):
        return f"lookup_{ranked}"
    if record.feasible:
        return {Role.REPLICATE: "replicate", Role.BASELINE: "baseline_again"}.get(record.role, ranked)
    return record.outcome.value


def _mark(view: StudyView, record: Record, axes: Sequence[str]) -> Mark | None:
    found = {axis: _spent(record, axis) for axis in axes}
    values = {axis: value for axis, value in found.items() if value is not None}
    if len(values) < len(axes):
        return None
    lows = {axis: _crossing_low(record, axis, value) for axis, value in values.items()}
    name = words.name_of(view, record)
    return Mark(
        record.trial, values, lows, style.describe(record, name, view.objectives, view.params(record))
    )


def _spent(record: Record, objective: str) -> float | None:
    """What the run cost or, where it did not reach the target, had cost when it ended."""
    if not record.outcome.completes:
        return None
    counted = {"energy_to_target_j": record.counted_energy_j, "time_to_target_s": record.counted_time_s}
    value = record.spent.get(objective, counted.get(objective))
    return None if value is None or not math.isfinite(value) else float(value)


def _crossing_low(record: Record, objective: str, value: float) -> float:
    if record.crossing is None:
        return value
    lows = {
        "energy_to_target_j": record.crossing.energy_low_j,
        "time_to_target_s": record.crossing.time_low_s,
    }
    return min(value, lows.get(objective, value))


def pareto_caption(info: ParetoInfo) -> str:
    """What the figure shows and how to read it; true of this study, whatever became of its runs."""
    if not info.has_marks:
        return ""
    many = len(info.planes) > 1
    parts = [_reading(info, many)]
    if info.reached:
        diamonds = " and diamonds" if any(name.startswith("lookup") for name in info.reached) else ""
        parts.append(
            f"Filled marks are the front and the baseline, open circles{diamonds} were beaten. "
            "Whiskers reach down to the evaluation before the target."
        )
    if info.reached and info.missed:
        where = "under each panel" if many else "below"
        parts.append(
            f"Runs that did not reach the target are in the strip {where}, at what they had spent when they "
            "ended: reaching it would have cost them more."
        )
    if info.undrawn:
        runs = f"{counted(info.undrawn, 'run')} {'is' if info.undrawn == 1 else 'are'}"
        parts.append(f"{runs} not drawn: killed, crashed, or without an energy that can be trusted.")
    return " ".join(parts)


def _reading(info: ParetoInfo, many: bool) -> str:
    if not info.reached:
        return (
            "No run reached the target: each mark is what a run had spent when it ended, so none of them is "
            "better than another."
        )
    if len(info.objectives) == 1:
        only, beside = map(words.label, info.axes)
        return (
            f"Every run in the plane reached the target. Further left is better; {only} is the only "
            f"objective, and {beside} ranks nothing."
        )
    if not many:
        return "Every run in the plane reached the target, and lower left is better."
    named = ", ".join(map(words.label, info.objectives))
    return (
        f"One panel for each pair of the {len(info.objectives)} objectives ({named}). Every run in a panel "
        "reached the target, and lower left is better in that pair. A run on the front is unbeaten over all "
        "of them together: where another lies lower left of it, it is better in what that panel "
        "does not show."
    )
