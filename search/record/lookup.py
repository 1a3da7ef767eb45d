"""Runs that look the next token up are a class of their own: which they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from model.config import ModelConfig, with_current_keys
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
