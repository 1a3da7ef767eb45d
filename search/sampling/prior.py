"""Which trials of another study teach the sampler of this one, and why not. Pure.

Joules to a target compare where the text, its tokens, the target, the counted phases and the kind of meter
are the same. A trial then teaches something where its whole configuration is a point of this study's space:
what the space does not vary must have been the same too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from model.metric import LOSS, METRICS, Metric
from search.record.outcome import Role
from search.record.record import Record
from search.space.model import Space

_DATA = {
    "sha256": "text",
    "tokenizer": "tokenizer",
    "held_out": "division of the held-out part",
    "validation_tokens": "number of validation tokens",
}


@dataclass(frozen=True)
class Problem:
    """What must be the same. `target_loss` is as the `metric` minimises it. `data` is that of a record's
    provenance, `context` that of its evaluation."""

    target_loss: float
    data: Mapping[str, Any]
    context: int
    counted_phases: str
    meter_kind: str
    objectives: tuple[str, ...]
    metric: Metric = METRICS[LOSS]


@dataclass(frozen=True)
class Taught:
    """The records of one other study that teach, with their parameters in this space; of how many trials; and
    why there are none, or nothing."""

    records: tuple[Record, ...]
    trials: int
    reason: str = ""


def taught(
    records: Sequence[Record],
    problem: Problem,
    space: Space,
    key_of: Callable[[Mapping[str, Any]], str],
) -> Taught:
    """`records` are all those of the other study, in their order."""
    trials = [record for record in records if record.role is Role.SEARCH and record.outcome.completes]
    if not trials:
        return Taught((), 0, "no trial of it has ended")
    if reason := _differs(trials, problem):
        return Taught((), len(trials), reason)
    inside = [one for one in (_in_space(record, space, key_of) for record in trials) if one is not None]
    reason = "" if inside else "no trial of it lies in this space"
    return Taught(tuple(inside), len(trials), reason)


def _differs(trials: Sequence[Record], problem: Problem) -> str:
    record = trials[0]
    if (record.metric, record.target_loss) != (problem.metric, problem.target_loss):
        theirs, ours = record.metric.words(record.target_loss), problem.metric.words(problem.target_loss)
        return f"its target is {theirs}, and this study's {ours}"
    theirs = record.provenance.get("data", {})
    for key, words in _DATA.items():
        if theirs.get(key) != problem.data.get(key):
            return f"its {words} is another"
    if record.config.get("evaluation", {}).get("context") != problem.context:
        return f"it evaluates another context than {problem.context} tokens"
    if record.counted_phases.value != problem.counted_phases:
        return f"it counts {record.counted_phases.value}, and this study {problem.counted_phases}"
    if record.meter.kind.value != problem.meter_kind:
        return f"its joules are {record.meter.kind.value}, and this study's {problem.meter_kind}"
    missing = [name for name in problem.objectives if not any(name in one.spent for one in trials)]
    return f"its trials have no {missing[0]}" if missing else ""


def _in_space(record: Record, space: Space, key_of: Callable[[Mapping[str, Any]], str]) -> Record | None:
    try:
        params = space.params_of(record.config)
    except KeyError:  # of a version that did not have a setting
        return None
    if params is None or key_of(space.config(params)) != key_of(record.config):
        return None
    return replace(record, params=params, system_attrs={})
