"""The search space: entries keyed by configuration path -> distributions -> a trial's configuration."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from model.config import ConfigError
from search.space.paths import get_path, set_path

# More values than these are not looked through one by one.
MOST_VALUES = 10_000

Params = dict[str, Any]
Suggest = Callable[[str, BaseDistribution], Any]


@dataclass(frozen=True)
class Entry:
    """One dimension. `low`..`high` for int and float, `choices` for categorical."""

    path: str
    type: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = None
    choices: tuple[Any, ...] = ()
    multiple_of: str | None = None
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def needs(self) -> set[str]:
        return set(self.when) | ({self.multiple_of} if self.multiple_of else set())

    def distribution(self, values: Mapping[str, Any]) -> BaseDistribution | None:
        """Given the values of every path it needs: None where a `when` does not hold."""
        if any(values[path] not in allowed for path, allowed in self.when.items()):
            return None
        if self.type == "categorical":
            return CategoricalDistribution(self.choices)
        assert self.low is not None
        assert self.high is not None
        # Optuna would lower `high` to the grid with a warning; do it here.
        if self.type == "float":
            high = self.high
            if self.step is not None:
                high = grid_value(self.low, self.step, steps_up(self.high, self.low, self.step, math.floor))
            return FloatDistribution(self.low, high, log=self.log, step=self.step)
        low, high, step = int(self.low), int(self.high), int(self.step or 1)
        if self.multiple_of:
            step = math.lcm(step, int(values[self.multiple_of]))
            low, high = -(-low // step) * step, high // step * step
            if low > high:
                divisor = f"{step}, which {self.multiple_of}={values[self.multiple_of]} asks for"
                raise ConfigError(
                    f"space.{self.path} has no value from {self.low:g} to {self.high:g} "
                    f"that is a multiple of {divisor}; widen low..high"
                )
        return IntDistribution(low, low + (high - low) // step * step, log=self.log, step=step)


@dataclass(frozen=True)
class Space:
    """Entries in an order in which every one comes after those that it needs, over a base configuration."""

    entries: tuple[Entry, ...]
    base: Mapping[str, Any]

    def sample(self, suggest: Suggest) -> Params:
        """Ask `suggest(path, distribution)` for every active entry, in order. A number of a range with steps
        is the number that a person would write: 0.3, whatever three tenths add up to."""
        params: Params = {}
        for entry in self.entries:
            known = {
                path: params[path] if path in params else get_path(self.base, path) for path in entry.needs
            }
            distribution = entry.distribution(known)
            if distribution is not None:
                params[entry.path] = on_grid(suggest(entry.path, distribution), distribution)
        return params

    def config(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The base configuration with `params` in their places."""
        config = copy.deepcopy(dict(self.base))
        for path, value in params.items():
            set_path(config, path, value)
        return config

    def points(self, most: int) -> list[Params] | None:
        """Every point of a space without continuous dimensions, or None where there are more than `most`."""
        found: list[Params] = []
        prefixes: list[tuple[Any, ...]] = [()]
        while prefixes:
            prefix = prefixes.pop()
            position = -1
            branches: list[Any] = []

            def suggest(path: str, distribution: BaseDistribution, prefix: tuple[Any, ...] = prefix) -> Any:
                nonlocal position
                position += 1
                if position < len(prefix):
                    return prefix[position]
                raise _BranchError(_values(distribution, most))

            try:
                found.append(self.sample(suggest))
            except _BranchError as branch:
                branches = branch.values
                if not branches:
                    return None
            prefixes += [(*prefix, value) for value in reversed(branches)]
            if len(found) + len(prefixes) > most:
                return None
        return found

    def base_params(self) -> Params | None:
        """The base configuration as a point of the space, or None where it lies outside."""
        return self.params_of(self.base)

    def params_of(self, config: Mapping[str, Any]) -> Params | None:
        """What a configuration has where the space varies it, as a point of the space; None where it has
        another value there. What the space does not vary is not looked at."""
        outside = False

        def suggest(path: str, distribution: BaseDistribution) -> Any:
            nonlocal outside
            value = get_path(config, path)
            outside = outside or not holds(distribution, value)
            return value

        params = self.sample(suggest)
        return None if outside else params

    def distributions(self, params: Mapping[str, Any]) -> dict[str, BaseDistribution]:
        """The distributions that `params` were drawn from."""
        drawn: dict[str, BaseDistribution] = {}

        def suggest(path: str, distribution: BaseDistribution) -> Any:
            drawn[path] = distribution
            return params[path]

        self.sample(suggest)
        return drawn

    def describe(self) -> dict[str, Any]:
        """Plain values that change exactly when the space does."""
        return {entry.path: _plain(entry) for entry in self.entries}


class _BranchError(Exception):
    """A dimension that is not fixed yet, with its values; none where it is continuous or too long."""

    def __init__(self, values: list[Any]) -> None:
        super().__init__()
        self.values = values


def _values(distribution: BaseDistribution, most: int) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if (
        isinstance(distribution, IntDistribution)
        and (distribution.high - distribution.low) // distribution.step < most
    ):
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    if isinstance(distribution, FloatDistribution):
        return _grid(distribution, most)
    return []


def _grid(distribution: FloatDistribution, most: int) -> list[float]:
    low, high, step = distribution.low, distribution.high, distribution.step
    if low == high:
        return [low]
    if step is None or (high - low) / step >= most:
        return []
    return [grid_value(low, step, steps) for steps in range(steps_up(high, low, step, round) + 1)]


def on_grid(value: Any, distribution: BaseDistribution) -> Any:
    """The value as it would be written down, where the distribution has steps and it lies on one."""
    if not isinstance(distribution, FloatDistribution) or distribution.step is None:
        return value
    if not holds(distribution, value):
        return value
    low, step = distribution.low, distribution.step
    return grid_value(low, step, steps_up(value, low, step, round))


def steps_up(value: float, low: float, step: float, rounding: Callable[[float], int]) -> int:
    """How many steps from `low` to `value`; 0.95 is three of 0.05 above 0.8, if not in floating point."""
    steps = (value - low) / step
    if rounding is math.floor:
        return rounding(steps + 1e-9)
    return rounding(steps - 1e-9) if rounding is math.ceil else rounding(steps)


def grid_value(low: float, step: float, steps: int) -> float:
    """In decimal arithmetic: steps of a tenth add up to three tenths."""
    return float(Decimal(repr(low)) + steps * Decimal(repr(step)))


def holds(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a value lies in a distribution, on its grid where it has one."""
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    if not isinstance(value, int | float) or not distribution.low <= value <= distribution.high:
        return False
    if distribution.step is None:
        return True
    return math.isclose(math.remainder(value - distribution.low, distribution.step), 0, abs_tol=1e-9)


def fields_of(entry: Entry) -> dict[str, Any]:
    return {item.name: getattr(entry, item.name) for item in fields(entry)}


def _plain(entry: Entry) -> dict[str, Any]:
    unset: tuple[Any, ...] = (None, False, (), {})
    plain = {
        name: value
        for name, value in fields_of(entry).items()
        if name != "path" and not any(value is empty or value == empty != 0 for empty in unset)
    }
    if entry.choices:
        plain["choices"] = list(entry.choices)
    if entry.when:
        plain["when"] = {path: list(values) for path, values in entry.when.items()}
    return plain


def possible_values(path: str, entries: Mapping[str, Entry], base: Mapping[str, Any]) -> list[Any] | None:
    """Every value that a path can have, or None where there are too many to list."""
    entry = entries.get(path)
    configured = [get_path(base, path)]
    if entry is None:
        return configured
    # Where the entry's own condition does not hold, the path keeps its configured value.
    others = configured if entry.when else []
    if entry.type == "categorical":
        return [*entry.choices, *(value for value in others if value not in entry.choices)]
    assert entry.low is not None
    assert entry.high is not None
    low, high, step = int(entry.low), int(entry.high), int(entry.step or 1)
    if entry.type == "float" or entry.multiple_of or (high - low) // step > MOST_VALUES:
        return None
    return [*range(low, high + 1, step), *others]
