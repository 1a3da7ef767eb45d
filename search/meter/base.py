"""What a meter is: something that reads a cumulative number of joules, and says how far that can be trusted.

A meter never returns a made-up number. A reading that cannot be had is a `Reading` whose `energy_j` is None
and whose `problem` says why; what a window between two readings is worth is decided in `search.energy`, not
here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from search.energy import Reading
from search.trial import Kind

__all__ = ["Meter", "MeterSpec", "MeterUnavailable", "Reading"]


class MeterUnavailable(Exception):
    """This meter cannot work on this machine. The text is one line: what is missing and what to do about
    it."""


@dataclass(frozen=True)
class MeterSpec:
    """What a meter is made of, for the record. `update_period_s` is how often its counter moves (0:
    continuous)."""

    name: str
    kind: Kind
    update_period_s: float
    resolution_j: float
    devices: tuple[str, ...]  # UUIDs, or "cpu"
    settings: Mapping[str, Any] = field(default_factory=dict)


class Meter(Protocol):
    """The seam. `read` is called at phase boundaries and a few times a second in between; it must cost well
    under a millisecond and must not raise (trouble goes into `Reading.problem`)."""

    @property
    def spec(self) -> MeterSpec: ...

    def read(self) -> Reading: ...

    def flags(self) -> Sequence[str]:
        """What was seen since the last `start` that makes a run doubtful: foreign load, throttling, ..."""
        ...

    def start(self) -> None:
        """A run begins: forget the flags of the one before."""
        ...

    def close(self) -> None: ...
