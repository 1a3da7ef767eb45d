"""A space as a fixed set of dimensions, for samplers that need one. Pure.

In a space, some entries are active only beside certain values of others, and a range can depend on another
value (a width that divides by the number of heads). Optuna's Gaussian process, its evolutionary samplers and
its quasi-random one model only the dimensions that all trials have in common, and draw the others by chance.
So they are shown every entry in every trial, over its whole range:

- a range that depends on another value is shown whole; what is proposed moves to the nearest value allowed
- an entry that is not active is shown at one fixed value, and dropped from what is proposed
- an entry that can never be active here is not shown
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cache
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial

from search.space.model import Entry, Params, Space, holds, on_grid, possible_values
from search.space.paths import get_path

Dimensions = dict[str, BaseDistribution]
Settled = Callable[[Mapping[str, Any]], Params]
"""What gives a point in fixed dimensions as a trial of it is shown."""


def fixed_dimensions(space: Space) -> Dimensions:
    """The dimension of every entry that can be active, in the order of the space."""
    return {entry.path: _whole(entry) for entry in space.entries if _can_be_active(entry, space)}


def encoded(params: Mapping[str, Any], space: Space, dimensions: Dimensions | None = None) -> Params:
    """A point of the space as a value in every dimension. `dimensions`: those of the space, where they are
    at hand."""
    known = fixed_dimensions(space) if dimensions is None else dimensions
    return {
        path: params[path] if path in params else _stand_in(distribution, get_path(space.base, path))
        for path, distribution in known.items()
    }


def decoded(point: Mapping[str, Any], space: Space) -> Params:
    """The point of the space that a value in every dimension stands for."""
    return space.sample(lambda path, distribution: nearest(point[path], distribution))


def settling(space: Space, dimensions: Dimensions) -> Settled:
    """A function that gives `encoded(decoded(point))` of a value in every dimension, and looks only at those
    that depend on others. A sampler that compares points must compare them so: two that differ in what is not
    active are one, and every trial of it is shown in this form."""
    of_entry = {entry.path: entry for entry in space.entries}
    dependent = [entry for entry in space.entries if entry.needs]
    stand_ins = {
        entry.path: _stand_in(dimensions[entry.path], get_path(space.base, entry.path))
        for entry in dependent
        if entry.path in dimensions
    }
    needed = {path for entry in dependent for path in entry.needs}
    configured = {path: get_path(space.base, path) for path in needed if path not in of_entry}

    @cache
    def multiples(path: str, divisor: int) -> BaseDistribution:
        entry = replace(of_entry[path], when={})
        assert entry.multiple_of is not None
        distribution = entry.distribution({entry.multiple_of: divisor})
        assert distribution is not None
        return distribution

    def settled(point: Mapping[str, Any]) -> Params:
        found = dict(point)
        known = configured | found
        for entry in dependent:
            path = entry.path
            active = path in found and all(known[one] in allowed for one, allowed in entry.when.items())
            if not active:
                known[path] = get_path(space.base, path)
                if path in found:
                    found[path] = stand_ins[path]
            elif entry.multiple_of is not None:
                found[path] = known[path] = nearest(found[path], multiples(path, known[entry.multiple_of]))
        return found

    return settled


def encoded_history(history: Sequence[FrozenTrial], space: Space) -> list[FrozenTrial]:
    """The trials, in fixed dimensions. One that lies outside the space has no place there and is left out."""
    dimensions = fixed_dimensions(space)
    found = []
    for trial in history:
        if trial.params or not dimensions:
            shown = copy(trial)
            shown.params, shown.distributions = encoded(trial.params, space, dimensions), dimensions
            found.append(shown)
    return found


def _whole(entry: Entry) -> BaseDistribution:
    """The entry's distribution whatever the others are. Its grid holds every multiple that it can have."""
    low, step = entry.low, int(entry.step or 1)
    if entry.multiple_of is not None:
        assert low is not None
        low = -(-int(low) // step) * step
    distribution = replace(entry, low=low, multiple_of=None, when={}).distribution({})
    assert distribution is not None
    return distribution


def _can_be_active(entry: Entry, space: Space) -> bool:
    entries = {one.path: one for one in space.entries}
    for path, allowed in entry.when.items():
        possible = possible_values(path, entries, space.base)
        if possible is not None and not any(value in allowed for value in possible):
            return False
    return True


def _stand_in(distribution: BaseDistribution, configured: Any) -> Any:
    """What an entry that is not active is shown as: the configured value where it can have it, else the
    middle."""
    if holds(distribution, configured):
        return configured
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high = distribution.low, distribution.high
    middle = math.sqrt(low * high) if distribution.log else (low + high) / 2
    return nearest(round(middle) if isinstance(distribution, IntDistribution) else middle, distribution)


def nearest(value: Any, distribution: BaseDistribution) -> Any:
    """The value of the distribution that lies nearest; itself where it is one."""
    if isinstance(distribution, CategoricalDistribution):
        return value
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    inside = min(max(value, low), high)
    if step is not None and not holds(distribution, inside):
        inside = on_grid(min(low + round((inside - low) / step) * step, high), distribution)
    return int(inside) if isinstance(distribution, IntDistribution) else inside
