"""`summary.json`: what a study found, for scripts."""

from __future__ import annotations

import dataclasses
from typing import Any

from search.lookup import is_lookup_like
from search.report.data import StudyView
from search.report.meters import side_by_side_summary
from search.report.values import plain_value
from search.trial import Record


def summary(view: StudyView) -> dict[str, Any]:
    """The content of `summary.json`, schema 1: builtin types only, and no NaN or infinity.

    `lookup_like` says of a row whether its configuration is (of the baseline null where there is none).
    `front_without_lookup` and `best_without_lookup` are there always: the front and the best among the runs
    that are not lookup-like, and the same as `front` and `best` where no run that ranks is.
    A baseline's `values` are what it cost to reach the target, and empty where it did not reach it; what it
    had spent when it ended is in `spent` either way.
    `noise` is how far runs of the baseline differ: `floor` by objective, as a share, null where it ran once.
    `closest` is the run with the lowest loss.
    `meters_side_by_side` is there only where other meters were read beside the one that ranks.
    """
    problem, meter = view.problem, view.meter
    content: dict[str, Any] = {
        "schema": 1,
        "study": view.study,
        "meter": {
            "name": None if meter is None else meter.name,
            "kind": None if meter is None else meter.kind.value,
            "counted_phases": [] if meter is None else list(meter.counted_phases.phases),
        },
        "problem": {
            "dataset": problem.dataset,
            "dataset_sha256": problem.dataset_sha256,
            "target_loss": problem.target_loss,
            "ngram_loss": problem.ngram_loss,
        },
        "objectives": list(view.objectives),
        "outcomes": view.outcomes,
        "baseline": _baseline_summary(view),
        "front": [_front_summary(view, record) for record in view.front],
        "best": _trial(view.best),
        "front_without_lookup": [_front_summary(view, record) for record in view.front_without_lookup],
        "best_without_lookup": _trial(view.best_without_lookup),
        "search_cost": dataclasses.asdict(view.cost),
        "noise": {"trials": list(view.noise.trials), "floor": dict(view.noise.floor)},
        "saving": view.saving.value,
        "closest": {
            "trial": _trial(view.closest),
            "best_loss": None if view.closest is None else view.closest.best_loss,
        },
        "notes": list(view.notes),
        "verdict": None,
    }
    if any(record.also for record in view.records):
        content["meters_side_by_side"] = side_by_side_summary(view.meters)
    plain: dict[str, Any] = plain_value(content)
    return plain


def _trial(record: Record | None) -> int | None:
    return None if record is None else record.trial


def _baseline_summary(view: StudyView) -> dict[str, Any]:
    record = view.baseline
    if record is None:
        nothing: dict[str, Any] = {"params": {}, "values": {}, "spent": {}, "phases_j": {}, "flags": []}
        return {"trial": None, "outcome": None, "lookup_like": None, "energy_error_j": None} | nothing
    return {
        "trial": record.trial,
        "outcome": record.outcome.value,
        "lookup_like": is_lookup_like(record),
        "params": view.params(record),
        "values": {name: record.values[name] for name in view.objectives if name in record.values},
        "spent": {name: record.spent[name] for name in view.objectives if name in record.spent},
        "energy_error_j": record.energy_error_j,
        "phases_j": {} if record.ledger is None else record.ledger.energy_j,
        "flags": list(record.flags),
    }


def _front_summary(view: StudyView, record: Record) -> dict[str, Any]:
    return {
        "trial": record.trial,
        "role": record.role,
        "seed": record.seed,
        "lookup_like": is_lookup_like(record),
        "params": view.params(record),
        "values": dict(zip(view.objectives, view.values(record), strict=True)),
        "energy_error_j": record.energy_error_j,
        "ratios": {name: view.ratio(record, name) for name in view.objectives},
        "phases_j": {} if record.ledger is None else record.ledger.energy_j,
        "flags": list(record.flags),
        "confirmed": False,
    }
