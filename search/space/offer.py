"""What of a space a device can run, and which entries can never vary."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from model.capabilities import POWER_LIMIT, SM_CLOCK, Capabilities
from model.config import ConfigError
from model.runnable import NS_DTYPE, PRECISION, by_way_of_fp32, missing
from search.space.gpu_limits import cut_to_gpu
from search.space.model import Entry, Space, fields_of, possible_values
from search.space.paths import get_path
from search.space.reach import PROCESSES

OPTIMIZER = "optimizer.name"


def offered(space: Space, capabilities: Capabilities) -> tuple[Space, list[str]]:
    """The space without choices that this device cannot run, and a line for each that was left out.

    An entry left with a single choice stays, as a constant; a range of processes, watts or clocks ends where
    the device does. Where the device lets nothing be set, an entry of watts or clocks is what is configured.
    Raises ConfigError where nothing is left.
    """
    kept, left_out = [], []
    for given in space.entries:
        entry, cut = _cut(given, capabilities, space.base)
        left_out += [cut] if cut else []
        reasons = {choice: missing(entry.path, choice, capabilities) for choice in entry.choices}
        left_out += [reason for reason in reasons.values() if reason]
        choices = tuple(choice for choice in entry.choices if not reasons[choice])
        if entry.choices and not choices:
            why = "; ".join(reason for reason in reasons.values() if reason)
            raise ConfigError(f"space.{entry.path} has no choice that runs here: {why}")
        kept.append(Entry(**(fields_of(entry) | {"choices": choices})))
    space = Space(tuple(kept), space.base)
    return space, [*dict.fromkeys(left_out), *never_varies(space)]


def slow_here(space: Space, capabilities: Capabilities) -> list[str]:
    """A line for each configured number format that this device only reaches by way of another. The space
    does not vary it, so it is used: who asks for it by name gets it."""
    entries = {entry.path: entry for entry in space.entries}
    muon = "muon" in (possible_values(OPTIMIZER, entries, space.base) or ())
    used = [PRECISION, *([NS_DTYPE] if muon else [])]
    return [
        f"{path}={get_path(space.base, path)} takes several times as long as fp32 on "
        f"{capabilities.device_name}, which has no bf16 arithmetic; type {path}=fp32"
        for path in used
        if path not in entries and by_way_of_fp32(path, get_path(space.base, path), capabilities)
    ]


def _cut(entry: Entry, capabilities: Capabilities, base: Mapping[str, Any]) -> tuple[Entry, str]:
    """What this device has of a range, and what is left out of it, in a line; empty where that is nothing."""
    if entry.path in (POWER_LIMIT, SM_CLOCK):
        return cut_to_gpu(entry, get_path(base, entry.path), capabilities)
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
