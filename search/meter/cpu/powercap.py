"""What a RAPL meter asks of a machine: the seam between its rules (`rapl`) and who answers, sysfs or a
simulator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from search.errors import MeterUnavailable


class PowercapError(MeterUnavailable):
    """A domain did not answer. `forbidden`: its file is there, and this user may not read it."""

    def __init__(self, text: str, *, forbidden: bool = False) -> None:
        super().__init__(text)
        self.forbidden = forbidden


@dataclass(frozen=True)
class Domain:
    """One powercap zone. `zone` is its folder ("intel-rapl:0:1"), `name` what it says of itself
    ("package-0", "dram", "core", "uncore", "psys").

    `range_uj` is its max_energy_range_uj, at which the counter wraps to 0. `max_power_w` is the largest power
    that the zone declares for itself (its constraints), None where it declares none.
    """

    zone: str
    name: str
    range_uj: int
    max_power_w: float | None = None


class Powercap(Protocol):
    """The zones of one machine."""

    def domains(self) -> Sequence[Domain]:
        """Every zone, in the order of its folder's name. Raises PowercapError where there are none."""
        ...

    def energy_uj(self, domain: Domain) -> int:
        """Raises PowercapError where the zone cannot be read."""
        ...
