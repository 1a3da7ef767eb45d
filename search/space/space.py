"""The search space: entries keyed by configuration path -> distributions -> a trial's configuration.

An entry is a mapping with `type` int, float or categorical:

    model.n_head:   {type: categorical, choices: [2, 4, 8]}
    model.n_embd:   {type: int, low: 64, high: 256, step: 32, multiple_of: model.n_head}
    optimizer.lr:   {type: float, low: 1.0e-3, high: 1.0e-1, log: true}
    schedule.cooldown_fraction: {type: float, low: 0.2, high: 1.0, when: {schedule.name: [trapezoid]}}

`multiple_of` makes a width divide by construction; `when` samples an entry only where another has one of the
values given. Nested keys (model: {n_head: ...}) mean the same as dotted ones, so that a command line can
change one number.
"""

from __future__ import annotations

import copy
import difflib
import json
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from graphlib import CycleError, TopologicalSorter
from typing import Any, get_args, get_type_hints

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from model.capabilities import Capabilities
from model.config import TYPE_NAMES, ConfigError, RunConfig, renamed
from model.runnable import missing
from model.tables import TABLES
from search.space.canonical import SEARCHABLE, plain

# More values than these are not looked through one by one.
MOST_VALUES = 10_000
# What a configuration holds beside those, and why it is the same in every trial.
FIXED = {
    "evaluation": "the instrument, the same for every trial",
    "data": "the problem, the same for every trial",
    "target_loss": "the problem, the same for every trial",
    "target_margin": "the problem, the same for every trial",
    "noise": "the study's",
    "seed": "drawn anew for every trial",
    "objective": "what trials are ranked by",
    "meter": "the instrument, the same for every trial",
    "device": "the machine, the same for every trial",
    "budget": "the study's",
    "study": "the study's",
    "sampler": "the study's",
}

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
                high = _grid_value(self.low, self.step, _steps_up(self.high, self.low, self.step, math.floor))
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
        outside = False

        def suggest(path: str, distribution: BaseDistribution) -> Any:
            nonlocal outside
            value = get_path(self.base, path)
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
    return [_grid_value(low, step, steps) for steps in range(_steps_up(high, low, step, round) + 1)]


def on_grid(value: Any, distribution: BaseDistribution) -> Any:
    """The value as it would be written down, where the distribution has steps and it lies on one."""
    if not isinstance(distribution, FloatDistribution) or distribution.step is None:
        return value
    if not holds(distribution, value):
        return value
    low, step = distribution.low, distribution.step
    return _grid_value(low, step, _steps_up(value, low, step, round))


def _steps_up(value: float, low: float, step: float, rounding: Callable[[float], int]) -> int:
    """How many steps from `low` to `value`; 0.95 is three of 0.05 above 0.8, if not in floating point."""
    return rounding((value - low) / step + (1e-9 if rounding is math.floor else 0.0))


def _grid_value(low: float, step: float, steps: int) -> float:
    """In decimal arithmetic: steps of a tenth add up to three tenths."""
    return float(Decimal(repr(low)) + steps * Decimal(repr(step)))


def parse_space(raw: Mapping[str, Any], base: Mapping[str, Any]) -> Space:
    """Check a study's space against its base configuration. Raises ConfigError with one line."""
    entries: dict[str, Entry] = {}
    for path, item in _flatten(raw, base):
        if path in entries:
            raise ConfigError(f"space.{path} is given twice, nested and with dots; drop one")
        entries[path] = _entry(path, dict(item), base)
    for entry in entries.values():
        _check_needs(entry, entries, base)
    graph = {entry.path: {path for path in entry.needs if path in entries} for entry in entries.values()}
    try:
        order = tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise ConfigError(
            f"space entries need each other in a circle: {' -> '.join(error.args[1])}"
        ) from error
    space = Space(tuple(entries[path] for path in order), base)
    _check_multiples(space)
    _check_corners(space)
    return space


def offered(space: Space, capabilities: Capabilities) -> tuple[Space, list[str]]:
    """The space without choices that this device cannot run, and a line for each that was left out.

    An entry left with a single choice stays, as a constant. Raises ConfigError where nothing is left.
    """
    kept, left_out = [], []
    for entry in space.entries:
        reasons = {choice: missing(entry.path, choice, capabilities) for choice in entry.choices}
        left_out += [reason for reason in reasons.values() if reason]
        choices = tuple(choice for choice in entry.choices if not reasons[choice])
        if entry.choices and not choices:
            why = "; ".join(reason for reason in reasons.values() if reason)
            raise ConfigError(f"space.{entry.path} has no choice that runs here: {why}")
        kept.append(Entry(**(_fields(entry) | {"choices": choices})))
    space = Space(tuple(kept), space.base)
    return space, [*left_out, *never_varies(space)]


def get_path(config: Mapping[str, Any], path: str) -> Any:
    node: Any = config
    for part in path.split("."):
        node = node[part]
    return node


def set_path(config: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for part in parents:
        config = config[part]
    config[last] = value


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


def _fields(entry: Entry) -> dict[str, Any]:
    return {item.name: getattr(entry, item.name) for item in fields(entry)}


def _plain(entry: Entry) -> dict[str, Any]:
    unset: tuple[Any, ...] = (None, False, (), {})
    plain = {
        name: value
        for name, value in _fields(entry).items()
        if name != "path" and not any(value is empty or value == empty != 0 for empty in unset)
    }
    if entry.choices:
        plain["choices"] = list(entry.choices)
    if entry.when:
        plain["when"] = {path: list(values) for path, values in entry.when.items()}
    return plain


def _flatten(
    raw: Mapping[str, Any], base: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Entries by path. What stands where a value of the configuration does is an entry."""
    leaves = set(_leaves(base))
    for key, value in raw.items():
        path = f"{prefix}{key}"
        is_group = any(leaf.startswith(f"{path}.") for leaf in leaves)
        is_entry = isinstance(value, Mapping) and "type" in value
        if not is_group and not is_entry:
            _check_path(path, base, f"space.{path} names a path that cannot be searched")
        if not isinstance(value, Mapping):
            raise ConfigError(
                f"space.{path} must be {'a group of entries' if is_group else 'an entry'} like "
                f"{_entry_like(value, is_group)}, got {value!r}"
            )
        if is_group and not is_entry:
            yield from _flatten(value, base, f"{path}.")
        elif value and not is_entry and not any(isinstance(item, Mapping) for item in value.values()):
            raise ConfigError(f"space.{path} needs a type: int, float or categorical")
        else:
            yield path, value


def _entry_like(value: Any, is_group: bool) -> str:
    """An entry that could have been meant."""
    if is_group:
        return "{n_layer: {type: int, low: 1, high: 8}}"
    if isinstance(value, list | tuple) and value:
        return f"{{type: categorical, choices: {json.dumps(list(value), ensure_ascii=False, default=str)}}}"
    return "{type: int, low: 1, high: 8}"


_KEYS = {
    "int": {"type", "low", "high", "log", "step", "multiple_of", "when"},
    "float": {"type", "low", "high", "log", "step", "when"},
    "categorical": {"type", "choices", "when"},
}


def _entry(path: str, item: dict[str, Any], base: Mapping[str, Any]) -> Entry:
    where = f"space.{path}"
    kind = item.get("type")
    if not isinstance(kind, str) or kind not in _KEYS:
        raise ConfigError(f"{where}.type must be int, float or categorical, got {kind!r}")
    for key in item:
        if key not in _KEYS[kind]:
            raise ConfigError(
                f"{where} has an unknown key {key!r}; {kind} takes {', '.join(sorted(_KEYS[kind]))}"
            )
    _check_path(path, base, f"{where} names a path that cannot be searched")
    conditions = item.get("when", {})
    if not isinstance(conditions, Mapping):
        raise ConfigError(f"{where}.when must be like {{schedule.name: [trapezoid]}}, got {conditions!r}")
    when = {other: tuple(_as_list(f"{where}.when.{other}", allowed)) for other, allowed in conditions.items()}
    if kind == "categorical":
        choices = tuple(_as_list(f"{where}.choices", item.get("choices")))
        for choice in choices:
            _check_choice(f"{where}.choices", path, choice)
        if len({repr(plain(choice)) for choice in choices}) < len(choices):
            raise ConfigError(f"{where}.choices names a value twice: {list(choices)}")
        return Entry(path, kind, choices=choices, when=when)
    _check_range(where, kind, item, field_types(path))
    return Entry(
        path,
        kind,
        low=item["low"],
        high=item["high"],
        log=bool(item.get("log", False)),
        step=item.get("step"),
        multiple_of=item.get("multiple_of"),
        when=when,
    )


def field_types(path: str) -> tuple[type, ...]:
    """The types that a configuration path may hold, such as (int, NoneType) for schedule.decay_steps."""
    part, name = path.split(".")
    hint = get_type_hints(get_type_hints(RunConfig)[part])[name]
    return get_args(hint) or (hint,)


def _check_range(where: str, kind: str, item: Mapping[str, Any], types: tuple[type, ...]) -> None:
    path = where.removeprefix("space.")
    for key in ("low", "high"):
        value = item.get(key)
        if value is None or not _is_number(value):
            raise ConfigError(f"{where}.{key} must be a number, got {value!r}")
        if kind == "int" and value != int(value):
            raise ConfigError(f"{where}.{key} must be a whole number, got {value}")
    if not {int, float} & set(types):
        raise ConfigError(f"{where} is {kind}, but {path} is no number; use type: categorical")
    if kind == "float" and float not in types:
        raise ConfigError(f"{where} is float, but {path} is a whole number; use type: int")
    low, high, step, log = item["low"], item["high"], item.get("step"), item.get("log", False)
    if low > high:
        raise ConfigError(f"{where} is empty: low={low:g} is above high={high:g}; swap them")
    if not isinstance(log, bool):
        raise ConfigError(f"{where}.log must be true or false, got {log!r}")
    if step is not None and (not _is_number(step) or step <= 0):
        raise ConfigError(f"{where}.step must be a number above 0, got {step!r}")
    if kind == "int" and step is not None and step != int(step):
        raise ConfigError(f"{where}.step must be a whole number, got {step}")
    if log and low <= 0:
        raise ConfigError(f"{where} is logarithmic, so low must be above 0, got {low:g}")
    if log and (step is not None or item.get("multiple_of")):
        raise ConfigError(f"{where} cannot have log with step or multiple_of; drop one")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_choice(where: str, path: str, choice: Any) -> None:
    types = field_types(path)
    fits = type(choice) in types or (float in types and _is_number(choice))
    if not fits or (isinstance(choice, float) and not math.isfinite(choice)):
        names = " or ".join(TYPE_NAMES[kind] for kind in types)
        raise ConfigError(f"{where}: {path} must be {names}, got {choice!r}")


def _check_needs(entry: Entry, entries: Mapping[str, Entry], base: Mapping[str, Any]) -> None:
    where = f"space.{entry.path}"
    if entry.multiple_of is not None and not isinstance(entry.multiple_of, str):
        raise ConfigError(f"{where}.multiple_of must be a path like model.n_head, got {entry.multiple_of!r}")
    for path in entry.needs:
        _check_path(path, base, f"{where} refers to {path}")
    if entry.multiple_of is not None and field_types(entry.multiple_of) != (int,):
        raise ConfigError(f"{where}.multiple_of must name a whole number, and {entry.multiple_of} is none")
    for path, allowed in entry.when.items():
        for value in allowed:
            _check_choice(f"{where}.when.{path}", path, value)
            table = TABLES.get(path)
            if table is not None and value not in table:
                raise ConfigError(f"{where}.when.{path} names {value!r}, which is none of {', '.join(table)}")


def _possible(path: str, entries: Mapping[str, Entry], base: Mapping[str, Any]) -> list[Any] | None:
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


def _check_multiples(space: Space) -> None:
    """Whatever the heads come to, some width must divide by them. Raises ConfigError where none does."""
    entries = {entry.path: entry for entry in space.entries}
    for entry in space.entries:
        if entry.multiple_of:
            known = {path: allowed[0] for path, allowed in entry.when.items()}
            for value in _possible(entry.multiple_of, entries, space.base) or []:
                if value >= 1:
                    entry.distribution(known | {entry.multiple_of: value})


def _as_list(where: str, value: Any) -> list[Any]:
    if not isinstance(value, list | tuple) or not value:
        raise ConfigError(f"{where} must be a list of one or more values, got {value!r}")
    return list(value)


def _leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _check_path(path: str, base: Mapping[str, Any], problem: str) -> None:
    known = [leaf for part in SEARCHABLE for leaf in _leaves(base[part], f"{part}.")]
    if path in known:
        return
    part = path.split(".")[0]
    if part in FIXED:
        raise ConfigError(f"{problem}: {part} is {FIXED[part]}; paths start with {', '.join(SEARCHABLE)}")
    if line := renamed(path):
        raise ConfigError(f"{problem}: {line}")
    near = difflib.get_close_matches(path, known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"paths start with {', '.join(SEARCHABLE)}"
    raise ConfigError(f"{problem}, and there is no {path}; {hint}")


def never_varies(space: Space) -> list[str]:
    """A line for each entry whose `when` no combination of the others can meet."""
    entries = {entry.path: entry for entry in space.entries}
    lines = []
    for entry in space.entries:
        for path, allowed in entry.when.items():
            possible = _possible(path, entries, space.base)
            if possible is not None and not set(map(repr, possible)) & set(map(repr, allowed)):
                others = ", ".join(_words(value) for value in possible)
                wanted = " or ".join(_words(value) for value in allowed)
                lines.append(f"{entry.path} never varies: {path} is never {wanted}, only {others}")
                break
    return lines


def _words(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) or value is None else str(value)


def _check_corners(space: Space) -> None:
    """Build the configurations at every choice and both ends of every range, others drawn at random."""
    generator = random.Random(0)
    for entry in space.entries:
        for forced in entry.choices or ("low", "high"):

            def suggest(
                path: str, distribution: BaseDistribution, entry: Entry = entry, forced: Any = forced
            ) -> Any:
                if isinstance(distribution, CategoricalDistribution):
                    return forced if path == entry.path else generator.choice(distribution.choices)
                assert isinstance(distribution, IntDistribution | FloatDistribution)
                end = forced if path == entry.path else generator.choice(("low", "high"))
                return getattr(distribution, end)

            try:
                RunConfig.from_mapping(space.config(space.sample(suggest)))
            except (ConfigError, TypeError, ZeroDivisionError) as error:
                raise ConfigError(
                    f"space.{entry.path} leads to a configuration that cannot be: {error}"
                ) from error
