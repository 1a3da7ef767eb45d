"""Nested values of configurations and records: plain, flat, compared, and named in brief."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def plain_value(value: Any) -> Any:
    """Builtin types only, of numpy scalars, enums and dataclasses too; a number that JSON lacks becomes its
    name."""
    if value is None or isinstance(value, bool):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain_value(vars(value))
    if isinstance(value, Mapping):
        return {str(key): plain_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(item) for item in value]
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    item: Callable[[], Any] | None = getattr(value, "item", None)
    return plain_value(item()) if item is not None else str(value)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keyed by the path with dots."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found |= flat(value, f"{path}.")
        else:
            found[path] = value
    return found


def differing_params(params: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Paths whose value is not the same in all of these; a path that one of them lacks differs."""
    flattened = [flat(mapping) for mapping in params]
    paths = dict.fromkeys(path for mapping in flattened for path in mapping)
    return tuple(
        path for path in paths if any(path not in m or m[path] != flattened[0].get(path) for m in flattened)
    )


def brief_names(paths: Sequence[str]) -> dict[str, str]:
    """Path -> its last part, with the one before where that is not enough (`optimizer.name`)."""
    last = {path: path.rpartition(".")[2] for path in paths}
    counts = Counter(last.values())
    return {
        path: ".".join(path.split(".")[-2:]) if name == "name" or counts[name] > 1 else name
        for path, name in last.items()
    }


def redacted(text: str) -> str:
    """The text with the passwords of URLs masked: a report is passed on."""
    return re.sub(r"(://[^\s:/@]*):[^\s@/]+@", r"\1:***@", text)
