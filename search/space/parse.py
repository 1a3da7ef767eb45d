"""A study's space as it is written in its configuration, checked, to a `Space`.

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

import difflib
import json
import math
import random
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, get_args, get_type_hints

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from model.config import TYPE_NAMES, ConfigError, RunConfig, renamed
from model.tables import TABLES
from search.space.canonical import SEARCHABLE, plain
from search.space.model import Entry, Space, possible_values
from search.space.paths import leaves

# What a configuration holds beside those, and why it is the same in every trial.
FIXED = {
    "evaluation": "the instrument, the same for every trial",
    "data": "the problem, the same for every trial",
    "target_metric": "the problem, the same for every trial",
    "target_loss": "the problem, the same for every trial",
    "target_accuracy": "the problem, the same for every trial",
    "target_margin": "the problem, the same for every trial",
    "noise": "the study's",
    "seed": "drawn anew for every trial",
    "objective": "what trials are ranked by",
    "meter": "the instrument, the same for every trial",
    "device": "the machine, the same for every trial but for device.power_limit_w and device.sm_clock_mhz",
    "budget": "the study's",
    "study": "the study's",
    "sampler": "the study's",
}


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


def _flatten(
    raw: Mapping[str, Any], base: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Entries by path. What stands where a value of the configuration does is an entry."""
    known = set(leaves(base))
    for key, value in raw.items():
        path = f"{prefix}{key}"
        is_group = any(leaf.startswith(f"{path}.") for leaf in known)
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


def _check_multiples(space: Space) -> None:
    """Raises ConfigError where a value of a divisor, such as the number of heads, leaves its entry no
    multiple."""
    entries = {entry.path: entry for entry in space.entries}
    for entry in space.entries:
        if entry.multiple_of:
            known = {path: allowed[0] for path, allowed in entry.when.items()}
            for value in possible_values(entry.multiple_of, entries, space.base) or []:
                if value >= 1:
                    entry.distribution(known | {entry.multiple_of: value})


def _as_list(where: str, value: Any) -> list[Any]:
    if not isinstance(value, list | tuple) or not value:
        raise ConfigError(f"{where} must be a list of one or more values, got {value!r}")
    return list(value)


def _check_path(path: str, base: Mapping[str, Any], problem: str) -> None:
    known = [leaf for part in SEARCHABLE for leaf in leaves({part: base[part]})]
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
                raise ConfigError(f"space.{entry.path} leads to an invalid configuration: {error}") from error
