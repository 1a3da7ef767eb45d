"""What makes joules compare: runs of one stratum were trained by the same kind of device under the same power
limit and driver, and read by the same meter. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from search.record.meter_info import MeterInfo, settings_of_model
from search.record.record import Record, part_of


class Stratum(NamedTuple):
    """`device` as its driver or system names it; `meter` by name and kind; `settings` of the meter as JSON,
    which hold a GPU's power limit and driver, without what tells one device of a kind from another."""

    device: str
    meter: str
    settings: str

    @property
    def name(self) -> str:
        """For a person. Two strata of one name differ in the settings of their meter."""
        return f"{self.device}, {self.meter}"


def stratum_of(provenance: Mapping[str, Any], meter: MeterInfo) -> Stratum:
    settings = json.dumps(settings_of_model(meter.settings), sort_keys=True, default=str)
    device = str(part_of(provenance, "hardware").get("device", "unknown device"))
    return Stratum(device, f"{meter.name} ({meter.kind.value})", settings)


def place_of(provenance: Mapping[str, Any], shared: bool) -> str | None:
    """Which single device trained a run; None where it is not known. A GPU is known everywhere by its UUID, a
    CPU by its machine, which counts where machines share the study: containers change their names."""
    hardware = part_of(provenance, "hardware")
    gpu, host = str(hardware.get("device_uuid", "")), hardware.get("host")
    if gpu.startswith("GPU-"):
        return gpu
    return f"{gpu} of machine {host}" if shared and host else None


def strata_of(records: Sequence[Record]) -> dict[Stratum, list[Record]]:
    """The records by stratum, the one with the most runs first."""
    found: dict[Stratum, list[Record]] = {}
    for record in records:
        found.setdefault(stratum_of(record.provenance, record.meter), []).append(record)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))
