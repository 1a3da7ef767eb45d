"""What of a space a device can run, and which entries can never vary."""

from __future__ import annotations

import json
from typing import Any

from model.capabilities import Capabilities
from model.config import ConfigError
from model.runnable import missing
from search.space.model import Entry, Space, fields_of, possible_values
from search.space.reach import PROCESSES


def offered(space: Space, capabilities: Capabilities) -> tuple[Space, list[str]]:
    """The space without choices that this device cannot run, and a line for each that was left out.

    An entry left with a single choice stays, as a constant; a range of processes ends where the device does.
    Raises ConfigError where nothing is left.
    """
    kept, left_out = [], []
    for given in space.entries:
        entry, cut = _cut(given, capabilities)
        left_out += [cut] if cut else []
        reasons = {choice: missing(entry.path, choice, capabilities) for choice in entry.choices}
        left_out += [reason for reason in reasons.values() if reason]
        choices = tuple(choice for choice in entry.choices if not reasons[choice])
        if entry.choices and not choices:
            why = "; ".join(reason for reason in reasons.values() if reason)
            raise ConfigError(f"space.{entry.path} has no choice that runs here: {why}")
        kept.append(Entry(**(fields_of(entry) | {"choices": choices})))
    space = Space(tuple(kept), space.base)
    return space, [*left_out, *never_varies(space)]


def _cut(entry: Entry, capabilities: Capabilities) -> tuple[Entry, str]:
    """A range of processes, up to as many as train together here, and what is left out of it."""
    if entry.path != PROCESSES or entry.high is None or entry.high <= capabilities.processes:
        return entry, ""
    reason = missing(PROCESSES, int(entry.high), capabilities)
    if entry.low is not None and entry.low > capabilities.processes:
        raise ConfigError(f"space.{PROCESSES} has no value that runs here: {reason}")
    most = capabilities.processes
    return Entry(**(fields_of(entry) | {"high": most})), f"{reason}, and space.{PROCESSES} ends there"


def never_varies(space: Space) -> list[str]:
    """A line for each entry whose `when` no combination of the others can meet."""
    entries = {entry.path: entry for entry in space.entries}
    lines = []
    for entry in space.entries:
        for path, allowed in entry.when.items():
            possible = possible_values(path, entries, space.base)
            if possible is not None and not set(map(repr, possible)) & set(map(repr, allowed)):
                others = ", ".join(_words(value) for value in possible)
                wanted = " or ".join(_words(value) for value in allowed)
                lines.append(f"{entry.path} never varies: {path} is never {wanted}, only {others}")
                break
    return lines


def _words(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) or value is None else str(value)
