"""Trials that somebody enqueued with Optuna's `study.enqueue_trial`: which can be run, and why not. Pure."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution

from model.config import ConfigError
from search.sampling.ask import Proposal
from search.space.canonical import plain
from search.space.model import Entry, Space, holds


@dataclass(frozen=True)
class Enqueued:
    """A trial that waits to be run; `params` are those that it asks for."""

    number: int
    params: Mapping[str, Any]


def checked_params(fixed: Mapping[str, Any], space: Space) -> dict[str, Any]:
    """The parameters in the types of the space. Raises ConfigError, with one line, for one that the space
    does not have, or a value that it cannot take."""
    entries = {entry.path: entry for entry in space.entries}
    for path in fixed:
        if path not in entries:
            near = difflib.get_close_matches(str(path), entries, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(entries)}"
            raise ConfigError(f"the space has no {path}; {hint}")
    return {path: _value(entries[path], value) for path, value in fixed.items()}


def _value(entry: Entry, value: Any) -> Any:
    if entry.type == "categorical":
        same = [choice for choice in entry.choices if _is_same(choice, value)]
        if not same:
            raise ConfigError(f"{entry.path} must be one of {list(entry.choices)}, got {value!r}")
        return same[0]
    assert entry.low is not None
    assert entry.high is not None
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not entry.low <= value <= entry.high or (entry.type == "int" and value != int(value)):
        kind = "a whole number" if entry.type == "int" else "a number"
        raise ConfigError(f"{entry.path} must be {kind} from {entry.low:g} to {entry.high:g}, got {value!r}")
    return int(value) if entry.type == "int" else float(value)


def _is_same(choice: Any, value: Any) -> bool:
    return isinstance(choice, bool) == isinstance(value, bool) and bool(plain(choice) == plain(value))


def complete_proposal(params: Mapping[str, Any], space: Space) -> Proposal | None:
    """The parameters as a point of the space. None where some are missing, which the sampler then chooses.
    Raises ConfigError where they are no point of it."""

    def suggest(path: str, distribution: BaseDistribution) -> Any:
        if path not in params:
            raise _MissingError
        if not holds(distribution, params[path]):
            raise ConfigError(f"{path}={params[path]} is no value of {distribution}")
        return params[path]

    try:
        point = space.sample(suggest)
    except _MissingError:
        return None
    unused = [path for path in params if path not in point]
    if unused:
        entry = next(entry for entry in space.entries if entry.path == unused[0])
        when = " and ".join(f"{path} is one of {list(allowed)}" for path, allowed in entry.when.items())
        raise ConfigError(f"{unused[0]} is only set where {when}")
    return Proposal(point)


class _MissingError(Exception):
    """A parameter that is not given."""
