"""Which joules compare: the kind of device, its power limit and driver, and the meter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from records_factory import make_record

from search.record.meter_info import Kind, MeterInfo
from search.record.record import Record
from search.record.stratum import place_of, strata_of, stratum_of

GPU = {
    "uuid": "GPU-1",
    "name": "H100",
    "pci_bus_id": "0000:01",
    "power_limit_w": 700.0,
    "driver_version": "570.1",
}


def run_on(device: str = "H100", name: str = "nvml", number: int = 0, **gpu: Any) -> Record:
    meter = MeterInfo(name, Kind.MEASURED, "named", {"gpus": [GPU | gpu]})
    return replace(make_record(number), provenance={"hardware": {"device": device}}, meter=meter)


def is_alike(one: Record, other: Record) -> bool:
    return stratum_of(one.provenance, one.meter) == stratum_of(other.provenance, other.meter)


def test_two_gpus_of_one_model_limit_and_driver_compare() -> None:
    assert is_alike(run_on(), run_on(uuid="GPU-2", pci_bus_id="0000:02"))


@pytest.mark.parametrize(
    "other",
    [
        run_on("A100"),
        run_on(name="zeus"),
        run_on(power_limit_w=500.0),
        run_on(driver_version="580.2"),
    ],
)
def test_another_model_meter_power_limit_or_driver_does_not(other: Record) -> None:
    assert not is_alike(run_on(), other)


def test_the_kind_with_the_most_runs_comes_first() -> None:
    records = [run_on("A100", number=0), run_on(number=1), run_on(number=2)]
    assert [(one.device, len(runs)) for one, runs in strata_of(records).items()] == [("H100", 2), ("A100", 1)]


@pytest.mark.parametrize(
    ("hardware", "shared", "place"),
    [
        ({"device_uuid": "GPU-7", "host": "ab"}, False, "GPU-7"),
        ({"device_uuid": "GPU-7"}, True, "GPU-7"),
        ({"device_uuid": "cpu", "host": "ab"}, True, "cpu of machine ab"),
        ({"device_uuid": "cpu", "host": "ab"}, False, None),
        ({"device_uuid": "cpu"}, True, None),
        ({}, True, None),
    ],
)
def test_a_gpu_is_known_everywhere_and_a_cpu_by_its_machine(
    hardware: dict[str, str], shared: bool, place: str | None
) -> None:
    assert place_of({"hardware": hardware}, shared) == place
