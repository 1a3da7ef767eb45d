"""What crosses the pipe between a study and its worker process, one JSON object a line.

The parent writes a `WorkerSetup`, which is answered with `Ready` or `Refused`, then a `RunRequest` for
each run, answered with any number of `ProgressReport` and `Waiting` and one `Finished` or `Failed`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from model.capabilities import Capabilities
from model.data.config import DataConfig
from model.data.held_out import HeldOut
from search.config.schema import DeviceSection, StudyConfig
from search.files.paths import cache_dir
from search.meter.settings import MeterSection, RooflineSection
from search.record.meter_info import Kind, MeterInfo
from search.record.record import Record
from search.run.request import RunRequest
from search.worker.slots import Slot


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker opens: a device, a meter, and a text that must be the one with this hash, whose held-out
    part is divided in this way; which of the device's slots it is; by how many `processes` its runs are
    trained at most; whether some run of it `holds_gpus` to a power limit or a clock; and the name of the
    `node` that it runs on, where that is not the study's machine."""

    study: str
    data: DataConfig
    data_sha256: str
    device: DeviceSection
    meter: MeterSection
    cache_dir: str
    held_out: HeldOut = HeldOut.HALVES
    slot: Slot = field(default_factory=Slot)
    processes: int = 1
    holds_gpus: bool = False
    node: str | None = None

    @staticmethod
    def of(config: StudyConfig, data_sha256: str, held_out: HeldOut = HeldOut.HALVES) -> WorkerSetup:
        """For runs of the configuration itself. The text's path is made absolute: the worker runs in another
        folder."""
        data = DataConfig(**asdict(config.data))
        if data.path is not None:
            data.path = str(Path(data.path).expanduser().absolute())
        return WorkerSetup(
            study=config.study.name,
            data=data,
            data_sha256=data_sha256,
            device=config.device,
            meter=config.meter,
            cache_dir=str(cache_dir()),
            held_out=held_out,
            processes=config.train.processes,
            holds_gpus=config.holds_gpus,
        )

    def to_line(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_line(line: str) -> WorkerSetup:
        body = json.loads(line)
        meter = body["meter"]
        return WorkerSetup(
            **{
                **body,
                "data": DataConfig(**body["data"]),
                "held_out": HeldOut(body["held_out"]),
                "device": DeviceSection(**body["device"]),
                "slot": Slot(
                    **{
                        **body["slot"],
                        "cores": tuple(body["slot"]["cores"]),
                        "siblings": tuple(body["slot"]["siblings"]),
                    }
                ),
                "meter": MeterSection(**{**meter, "roofline": RooflineSection(**meter["roofline"])}),
            }
        )


@dataclass(frozen=True)
class WorkerInfo:
    """What a worker has opened. `idle_power_w` is None where it was not measured."""

    capabilities: Capabilities
    meter: MeterInfo
    hardware: Mapping[str, Any]
    software: Mapping[str, Any]
    idle_power_w: float | None

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> WorkerInfo:
        meter = data["meter"] | {"kind": Kind(data["meter"]["kind"])}
        can = data["capabilities"]
        held_to = {name: tuple(can[name]) for name in ("power_limits_w", "sm_clocks_mhz")}
        return WorkerInfo(
            capabilities=Capabilities(**can | held_to),
            meter=MeterInfo(**meter),
            hardware=data["hardware"],
            software=data["software"],
            idle_power_w=data["idle_power_w"],
        )


def trained_by(request: RunRequest, info: WorkerInfo | None) -> RunRequest:
    """The request, whose provenance names the device and the software of the worker that gets it; None: of a
    worker that has not started yet."""
    if info is None or "hardware" not in request.provenance:
        return request
    here = {"hardware": dict(info.hardware), "software": dict(info.software)}
    return replace(request, provenance={**request.provenance, **here})


@dataclass(frozen=True)
class Ready:
    """The worker waits for a request."""

    info: WorkerInfo


@dataclass(frozen=True)
class Refused:
    """The setup cannot be had; the worker ends. The message is one line for a user."""

    message: str


@dataclass(frozen=True)
class ProgressReport:
    """The record of the run, as if it ended now."""

    record: Record


@dataclass(frozen=True)
class Waiting:
    """The run cannot start yet: what it waits for."""

    what: str


@dataclass(frozen=True)
class Failed:
    """The run has no record: it failed before the meter was read."""

    message: str


@dataclass(frozen=True)
class Finished:
    """The run's record. `worn`: so much memory is left over that this process cannot tell the next run's
    peak."""

    record: Record
    worn: bool


Event = Ready | Refused | ProgressReport | Waiting | Failed | Finished


def event_to_line(event: Event) -> str:
    body = dict(vars(event))
    if isinstance(event, Ready):
        body["info"] = asdict(event.info)
    elif isinstance(event, ProgressReport | Finished):
        body["record"] = event.record.to_dict()
    return json.dumps({"event": type(event).__name__} | body)


def event_from_dict(body: Mapping[str, Any]) -> Event:
    """The event in a line's JSON. Raises KeyError for one that is none of these."""
    return _EVENTS[body["event"]](body)


_EVENTS: dict[str, Callable[[Mapping[str, Any]], Event]] = {
    "Ready": lambda body: Ready(WorkerInfo.from_dict(body["info"])),
    "Refused": lambda body: Refused(body["message"]),
    "ProgressReport": lambda body: ProgressReport(Record.from_dict(body["record"])),
    "Waiting": lambda body: Waiting(body["what"]),
    "Failed": lambda body: Failed(body["message"]),
    "Finished": lambda body: Finished(Record.from_dict(body["record"]), body["worn"]),
}
