"""Runs that look the next token up are a class of their own: which they are, and what may end which early."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from model.config import ModelConfig, with_current_keys
from search.record.limits import Rival
from search.record.record import Record


def looks_up(config: Mapping[str, Any]) -> bool:
    """Whether a run's configuration is lookup-like, by `ModelConfig.looks_up`.

    It may be of another version or only a part of one: a setting that it lacks has its default, and none is
    checked, since a value that is refused today may have been trained.
    """
    settings = with_current_keys(config).get("model")
    if not isinstance(settings, Mapping):
        return False
    model = ModelConfig()
    for field in fields(ModelConfig):
        if field.name in settings:
            setattr(model, field.name, settings[field.name])
    return bool(model.looks_up)


def is_lookup_like(record: Record) -> bool:
    return looks_up(record.config)


def rivals_of(config: Mapping[str, Any], records: Iterable[Record]) -> tuple[Rival, ...]:
    """The finished feasible runs that a run of `config` may be ended for.

    Lookup-like ones end only their like. A front is also shown without them, and a run that they dominate may
    be on it.
    """
    may_look_up = looks_up(config)
    return tuple(
        Rival(record.trial, tuple(record.values.values()))
        for record in records
        if record.feasible and (may_look_up or not is_lookup_like(record))
    )
