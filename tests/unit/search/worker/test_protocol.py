"""What crosses the pipe arrives as it was sent."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from records_factory import METER, make_record

from model.capabilities import Capabilities
from model.data.config import DataConfig
from model.data.held_out import HeldOut
from search.config.schema import DeviceSection, StudyConfig
from search.meter.settings import MeterSection, RooflineSection
from search.record.outcome import Role
from search.run.request import RunRequest
from search.worker.protocol import (
    Event,
    Failed,
    Finished,
    ProgressReport,
    Ready,
    Refused,
    Waiting,
    WorkerInfo,
    WorkerSetup,
    event_from_dict,
    event_to_line,
    trained_by,
)
from search.worker.slots import Slot

INFO = WorkerInfo(
    capabilities=Capabilities("cpu", "a CPU", "2.13.0", bf16=True, compiler=None, modules=["triton"]),
    meter=METER,
    hardware={"device": "a CPU", "device_uuid": "cpu"},
    software={"torch": "2.13.0"},
    idle_power_w=None,
)
CONFIG = StudyConfig()
REQUEST = RunRequest(
    study="a study",
    trial=3,
    run_id="a run",
    role=Role.SEARCH,
    params={},
    config=CONFIG.run_values(),
    target_loss=2.0,
    objectives=("energy_to_target_j",),
    counted_phases=CONFIG.counted_phases,
    vocab_size=65,
)
EVENTS: list[Event] = [
    Ready(INFO),
    Refused("no GPU here; type device=cpu"),
    ProgressReport(make_record(3)),
    Waiting("the device cpu, which another process holds"),
    Failed("RuntimeError: it\nbroke “here”"),
    Finished(replace(make_record(4), flags=("short_window",)), worn=True),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_arrives_as_it_was_sent_on_one_line(event: Event) -> None:
    line = event_to_line(event)
    assert "\n" not in line
    assert event_from_dict(json.loads(line)) == event


def test_a_setup_arrives_as_it_was_sent() -> None:
    setup = WorkerSetup(
        study="a “study”",
        data=DataConfig(name="text", path="/somewhere/a text.txt"),
        data_sha256="0" * 64,
        device=DeviceSection(name="cpu", temperature_band_c=[30.0, 40.0]),
        meter=MeterSection(name="roofline", also=["cpu_time"], roofline=RooflineSection({"fp32": 1.0}, 2.0)),
        cache_dir="/cache",
        held_out=HeldOut.WHOLE,
        slot=Slot((1, 2), (3,), "GPU-8932f937"),
    )
    assert WorkerSetup.from_line(setup.to_line()) == setup


def test_the_path_of_a_text_is_absolute_since_the_worker_runs_elsewhere() -> None:
    config = StudyConfig(data=DataConfig(name="text", path="mine.txt"))
    config.study.name = "a study"
    path = WorkerSetup.of(config, "0" * 64).data.path
    assert path is not None
    assert path.startswith("/")
    assert path.endswith("/mine.txt")


def test_a_request_names_what_trains_it_once_that_is_known() -> None:
    provenance = {"hardware": {"device_uuid": "GPU-0"}, "software": {"torch": "1"}, "data": {"sha256": "0"}}
    asked = replace(REQUEST, provenance=provenance)
    assert trained_by(asked, None) is asked
    assert trained_by(REQUEST, INFO) is REQUEST, "nothing is made up where nothing is noted"
    named = trained_by(asked, INFO).provenance
    assert named == {"hardware": INFO.hardware, "software": INFO.software, "data": {"sha256": "0"}}
