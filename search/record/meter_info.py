"""Which meters read a run, of what kind their joules are, and what those beside the ranking one counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from search.record.ledger import Phase


class Kind(StrEnum):
    """Where a joule comes from. Numbers of different kinds never share a front."""

    MEASURED = "measured"
    ESTIMATED = "estimated"
    MODELLED = "modelled"


@dataclass(frozen=True)
class MeterInfo:
    """Which meter a run was read by, and with what settings (watts per core, device UUIDs, ...)."""

    name: str
    kind: Kind
    chosen_because: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


# What tells one GPU from another of its model.
_OF_A_BOARD = ("uuid", "pci_bus_id")


def settings_of_model(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A meter's settings without what tells one device from another of its model: runs of one study may be
    read on several."""
    left = {key: value for key, value in settings.items() if key != "devices"}
    if isinstance(gpus := settings.get("gpus"), Sequence):
        left["gpus"] = [{key: gpu[key] for key in gpu if key not in _OF_A_BOARD} for gpu in gpus]
    return left


@dataclass(frozen=True)
class SecondMeter:
    """What a meter that ranks nothing counted over the same run, by the same policy as the one that ranks.

    `counted_energy_j` is until the crossing where the target was reached, else until the end of the run. None
    is unknown, and `reason` says why.
    """

    meter: str
    kind: Kind
    counted_energy_j: float | None
    gross_energy_j: float | None
    phases_j: Mapping[Phase, float] | None
    reason: str = ""
    flags: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
