"""Which devices may train one study."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from model.capabilities import Capabilities
from search.record.meter_info import Kind, MeterInfo
from search.worker.alike import of_the_commonest, unlike
from search.worker.protocol import WorkerInfo

GPU = {"name": "H100", "power_limit_w": 700.0, "driver_version": "580.1", "read_by": "total_energy_counter"}


def on(uuid: str, meter: str = "nvml", hardware: dict[str, Any] | None = None, **gpu: Any) -> WorkerInfo:
    described = {"uuid": uuid, "pci_bus_id": uuid[-2:], **GPU, **gpu}
    return WorkerInfo(
        Capabilities("cuda", "H100", "2.13", True, None),
        MeterInfo(meter, Kind.MEASURED, "", {"gpus": [described], "devices": [uuid]}),
        {"device": "H100", "device_uuid": uuid, "gpu_memory_bytes": 80, "cores": 64} | (hardware or {}),
        {"torch": "2.13"},
        None,
    )


def test_two_boards_of_a_model_are_alike() -> None:
    assert unlike({"first": on("GPU-0"), "second": on("GPU-1", hardware={"cores": 32})}) == {}
    assert unlike({}) == {}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (on("GPU-1", name="A100"), "name A100 (first: H100)"),
        (on("GPU-1", power_limit_w=350.0), "power_limit_w 350.0 (first: 700.0)"),
        (on("GPU-1", driver_version="570.2"), "driver_version 570.2 (first: 580.1)"),
        (on("GPU-1", read_by="averaged_power"), "read_by averaged_power (first: total_energy_counter)"),
        (on("GPU-1", meter="zeus"), "meter zeus (first: nvml)"),
        (on("GPU-1", hardware={"gpu_memory_bytes": 40}), "gpu_memory_bytes 40 (first: 80)"),
        (replace(on("GPU-1"), software={"torch": "2.12"}), "torch 2.12 (first: 2.13)"),
        (replace(on("GPU-1"), hardware={}), "device unknown (first: H100), gpu_memory_bytes unknown"),
    ],
)
def test_what_does_not_compare_is_named_with_both_values(other: WorkerInfo, said: str) -> None:
    found = unlike({"first": on("GPU-0"), "second": on("GPU-2"), "third": other})
    assert list(found) == ["third"]
    assert said in found["third"]


def test_of_a_mixed_cluster_the_commonest_kind_trains() -> None:
    small = {"name": "A100", "hardware": {"device": "A100"}}
    infos = {"0": on("GPU-0", **small), "1": on("GPU-1"), "2": on("GPU-2"), "3": on("GPU-3", **small)}
    assert list(of_the_commonest({"0": infos["0"]})) == ["0"]
    assert list(of_the_commonest(infos)) == ["0", "3"], "of two as common the first"
    assert list(of_the_commonest({**infos, "4": on("GPU-4")})) == ["1", "2", "4"]
