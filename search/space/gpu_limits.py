"""What of a range of watts or clocks the GPUs of a study can be held to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from model.capabilities import POWER_LIMIT, Capabilities, cannot_hold
from model.config import ConfigError
from search.space.model import Entry, grid_value, steps_up


def cut_to_gpu(entry: Entry, configured: Any, capabilities: Capabilities) -> tuple[Entry, str]:
    """The entry without what the GPUs cannot be held to, and a line on that, empty where it is nothing.

    Where nothing can be set, the entry is the configured value. Of a list, single choices are left out
    elsewhere. Raises ConfigError where nothing is left.
    """
    watts = entry.path == POWER_LIMIT
    has: Sequence[float] = capabilities.power_limits_w if watts else capabilities.sm_clocks_mhz
    if not has:
        fixed = Entry(entry.path, "categorical", choices=(configured,), when=entry.when)
        return fixed, cannot_hold(entry.path, 1.0, capabilities) or ""
    if entry.low is None or entry.high is None:
        return entry, ""
    low, high = _watts(entry, has) if watts else _clocks(entry, has)
    if (low, high) == (entry.low, entry.high):
        return entry, ""
    given = f"{entry.low:g} to {entry.high:g}"
    return replace(entry, low=low, high=high), (
        f"space.{entry.path} is {low:g} to {high:g} here, which is what the GPU takes of {given}"
    )


def _watts(entry: Entry, has: Sequence[float]) -> tuple[float, float]:
    assert entry.low is not None
    assert entry.high is not None
    least, most = has
    step = entry.step or (1 if entry.type == "int" else None)
    low, high = max(entry.low, least), min(entry.high, most)
    if step is not None:
        low = grid_value(entry.low, step, steps_up(low, entry.low, step, math.ceil))
        high = grid_value(entry.low, step, steps_up(high, entry.low, step, math.floor))
    if low > high:
        raise _nothing_left(entry, f"{least:g} to {most:g} W")
    return low, high


def _clocks(entry: Entry, has: Sequence[float]) -> tuple[float, float]:
    assert entry.low is not None
    assert entry.high is not None
    wanted = range(int(entry.low), int(entry.high) + 1, int(entry.step or 1))
    kept = [mhz for mhz in wanted if mhz in set(has)]
    if not kept:
        raise _nothing_left(entry, _in_words(has))
    between = range(kept[0], kept[-1] + 1, wanted.step)
    if len(between) > len(kept):
        odd = next(mhz for mhz in between if mhz not in kept)
        raise ConfigError(
            f"space.{entry.path} holds {odd} MHz, and the clocks of the GPU are {_in_words(has)}; give it a "
            "low and a step that hold no other, or list choices"
        )
    return kept[0], kept[-1]


def _nothing_left(entry: Entry, has: str) -> ConfigError:
    return ConfigError(
        f"space.{entry.path} has no value that runs here: it is {entry.low:g} to {entry.high:g}, and the GPU "
        f"takes {has}"
    )


def _in_words(clocks_mhz: Sequence[float]) -> str:
    steps = {after - before for before, after in pairwise(clocks_mhz)}
    by = f" by {steps.pop():g}" if len(steps) == 1 else f", {len(clocks_mhz)} of them"
    return f"{clocks_mhz[0]:g} to {clocks_mhz[-1]:g} MHz{by}"
