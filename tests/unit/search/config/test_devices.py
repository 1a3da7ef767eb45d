"""What `devices` may say, and what it does not go with."""

from __future__ import annotations

from typing import Any

import pytest

from model.config import ConfigError
from search.config.devices import (
    Devices,
    check_devices,
    check_launcher,
    check_one_run,
    parse_devices,
    with_devices,
)
from search.config.schema import StudyConfig

BOTH = ["cuda:0", "cuda:1"]


def config_of(devices: object, **keys: Any) -> StudyConfig:
    """`device__id="0"` is device.id=0."""
    config = StudyConfig(devices=devices)
    for key, value in keys.items():
        section, name = key.split("__")
        setattr(getattr(config, section), name, value)
    return config


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("auto", Devices()),
        ("all", Devices(every=True)),
        ("cpu", Devices(cpu=True)),
        (["cpu"], Devices(cpu=True)),
        ("cuda:3", Devices(("3",))),
        (["cuda:1"], Devices(("1",))),
        (["cuda:1", "cuda:0"], Devices(("1", "0"))),
        (["GPU-8932f937-d72c", "cuda:10"], Devices(("GPU-8932f937-d72c", "10"))),
    ],
)
def test_devices_are_gpus_in_the_order_of_their_slots(typed: object, found: Devices) -> None:
    assert parse_devices(typed) == found


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["cuda:0", "cuda:0"], "names cuda:0 twice"),
        ([], "an empty list"),
        ("gpu", "got 'gpu'"),
        (["cuda"], "got 'cuda'"),
        ([0, 1], "got 0; did you mean cuda:0?"),
        (["cuda:-1"], "got 'cuda:-1'"),
        (["cuda:01"], "got 'cuda:01'"),
        (["cuda:0", "cpu"], "mixes the CPU with GPUs"),
        (["MIG-1"], "got 'MIG-1'"),
        (["auto", "cuda:0"], "got 'auto'"),
        (None, "got None"),
        ({"cuda": 0}, "got {'cuda': 0}"),
    ],
)
def test_what_is_no_device_is_refused_in_a_line(typed: object, said: str) -> None:
    with pytest.raises(ConfigError, match=r"devices") as refused:
        parse_devices(typed)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("config", "processes", "said"),
    [
        (config_of(BOTH, device__id="0"), 1, "device.id=0 both say what trains"),
        (config_of("cpu", device__name="cuda"), 1, "contradict each other"),
        (config_of(BOTH, device__slots=2), 1, "type device.slots=1"),
        (config_of(["cuda:0"], device__slots=2), 1, "type device.slots=1"),
        (config_of(BOTH), 4, "train.processes is up to 4"),
        (config_of("all"), 2, "train.processes is up to 2"),
        (config_of(BOTH, device__name="cpu"), 1, "device=cpu trains on the CPU"),
        (config_of(BOTH, meter__gpus=["0"]), 1, "type meter.gpus=null"),
        (config_of(BOTH, meter__also=["rapl"]), 1, "meter rapl cannot tell them apart"),
        (config_of("all", meter__name="cpu_time"), 1, "meter cpu_time cannot tell them apart"),
    ],
)
def test_what_devices_do_not_go_with_is_refused_in_a_line(
    config: StudyConfig, processes: int, said: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        check_devices(config, processes)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("config", "processes"),
    [
        (config_of("auto", device__id="1", device__slots=4, meter__gpus=["1"]), 8),
        (config_of("cpu", device__slots=2), 2),
        (config_of(BOTH, meter__also=["roofline"]), 1),
        (config_of(["cuda:1"], device__name="cuda"), 1),
        (config_of("all"), 1),
        (config_of(BOTH, device__name="cpu", meter__name="nvml"), 1),
    ],
)
def test_what_goes_together_is_not_refused(config: StudyConfig, processes: int) -> None:
    check_devices(config, processes)


def test_devices_say_what_kind_of_device_trains() -> None:
    assert with_devices(config_of(BOTH)).device.name == "cuda"
    assert with_devices(config_of("all")).device.name == "cuda"
    assert with_devices(config_of("cpu")).device.name == "cpu"
    untouched = config_of("auto", device__name="cuda")
    assert with_devices(untouched) is untouched


def test_a_single_run_is_told_to_use_device() -> None:
    check_one_run(StudyConfig())
    with pytest.raises(ConfigError, match=r"type device=cpu, or device=cuda device\.id=0"):
        check_one_run(config_of(BOTH))
    with pytest.raises(ConfigError, match="type launcher=none"):
        check_one_run(on_ray())


def on_ray(devices: object = "auto", **keys: Any) -> StudyConfig:
    return config_of(devices, launcher__name="ray", **keys)


@pytest.mark.parametrize(
    ("config", "processes", "said"),
    [
        (on_ray(launcher__ray_slots=0), 1, "launcher.ray_slots must be 1 or more"),
        (on_ray(launcher__ray_address=" "), 1, "HOST:PORT"),
        (on_ray(BOTH), 1, "type devices=auto"),
        (on_ray(device__id="1"), 1, "type device.id=null"),
        (on_ray(device__slots=2), 1, "type device.slots=1"),
        (on_ray(), 2, "train.processes is up to 2"),
        (on_ray(meter__name="cpu_time"), 1, "meter cpu_time cannot tell them apart"),
        (on_ray(meter__name="rapl", device__name="cpu"), 1, "meter rapl cannot tell them apart"),
        (on_ray(meter__gpus=["0"]), 1, "type meter.gpus=null"),
    ],
)
def test_what_a_launcher_does_not_go_with_is_refused_in_a_line(
    config: StudyConfig, processes: int, said: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        check_launcher(config, processes)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_cluster_takes_gpus_and_cpus() -> None:
    check_launcher(config_of(BOTH), 1)
    check_launcher(on_ray(launcher__ray_slots=8), 1)
    check_launcher(on_ray(device__name="cpu", meter__name="cpu_time"), 1)
