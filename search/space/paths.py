"""Dotted paths, such as `optimizer.lr`, into nested mappings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

ABSENT = object()


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


def side_by_side(
    one: Mapping[str, Any], other: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """(path, what `one` has there, what `other` has), with `ABSENT` for nothing. A path goes down as far as
    both have mappings with keys."""
    for key in dict.fromkeys((*one, *other)):
        path, ours, theirs = f"{prefix}{key}", one.get(key, ABSENT), other.get(key, ABSENT)
        if isinstance(ours, Mapping) and isinstance(theirs, Mapping) and (ours or theirs):
            yield from side_by_side(ours, theirs, f"{path}.")
        else:
            yield path, ours, theirs


def leaves(config: Mapping[str, Any]) -> list[str]:
    """The path of every value, in order; an empty mapping is a value."""
    return [path for path, _, _ in side_by_side(config, config)]


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """'path: theirs -> ours' for every leaf that differs, in order; None where there is nothing."""
    found = []
    for path, *values in sorted(side_by_side(ours, theirs), key=lambda row: row[0]):
        new, old = (None if value is ABSENT else value for value in values)
        if new != old:
            found.append(f"{path}: {old!r} -> {new!r}")
    return found
