"""A space of watts and clocks, on GPUs that can be held to them and on devices that cannot."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from space_entries import choice_entry, parse

from model.capabilities import POWER_LIMIT, SM_CLOCK, Capabilities
from model.config import ConfigError, RunConfig
from model.runnable import absent, missing
from search.config.checks import check_run
from search.config.schema import DeviceSection, StudyConfig
from search.meter.settings import MeterSection
from search.space.canonical import config_key
from search.space.model import Entry
from search.space.offer import offered

HELD_NOT = "meter cpu_time reads no GPU through NVML"
CPU = Capabilities("cpu", "a processor", "2.13.0", True, "/usr/bin/g++", held_not=HELD_NOT)
H100 = Capabilities(
    *("cuda", "H100", "2.13.0", True, None, 90),
    power_limits_w=(200.0, 700.0),
    sm_clocks_mhz=tuple(range(345, 1981, 15)),
    held_not="",
)


def offer(path: str, entry: dict[str, Any], on: Capabilities = H100) -> tuple[Entry, list[str]]:
    space, left_out = offered(parse({path: entry}), on)
    return space.entries[0], left_out


def test_what_the_gpu_takes_is_offered_whole() -> None:
    assert offer(POWER_LIMIT, choice_entry(None, 200.0, 700.0))[1] == []
    assert offer(SM_CLOCK, {"type": "int", "low": 345, "high": 1980, "step": 15})[1] == []


@pytest.mark.parametrize(
    ("entry", "low", "high"),
    [
        ({"type": "float", "low": 100.0, "high": 650.0}, 200.0, 650.0),
        ({"type": "float", "low": 110.0, "high": 900.0, "step": 25.0}, 210.0, 685.0),
        ({"type": "int", "low": 150, "high": 700, "step": 50}, 200, 700),
    ],
)
def test_a_range_of_watts_ends_where_the_gpu_does_and_keeps_its_steps(
    entry: dict[str, Any], low: float, high: float
) -> None:
    cut, (line,) = offer(POWER_LIMIT, entry)
    assert (cut.low, cut.high) == (low, high)
    assert line.startswith(f"space.device.power_limit_w is {low:g} to {high:g} here")


def test_a_range_of_clocks_ends_where_the_gpu_does() -> None:
    cut, (line,) = offer(SM_CLOCK, {"type": "int", "low": 300, "high": 2100, "step": 15})
    assert (cut.low, cut.high) == (345, 1980)
    assert "345 to 1980 here" in line


def test_a_range_that_holds_other_clocks_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"holds 1006 MHz, .* are 345 to 1980 MHz by 15; give it a low"):
        offer(SM_CLOCK, {"type": "int", "low": 1000, "high": 1500})


@pytest.mark.parametrize("path", [POWER_LIMIT, SM_CLOCK])
def test_a_range_of_which_the_gpu_takes_nothing_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match=f"space.{path} has no value that runs here"):
        offer(path, {"type": "int", "low": 2000, "high": 2100, "step": 50})


@pytest.mark.parametrize(
    "entry",
    [
        choice_entry(None, 300.0, 400.0),
        choice_entry(300.0, 400.0),
        {"type": "float", "low": 200.0, "high": 400.0},
    ],
)
def test_on_a_device_that_lacks_it_the_lever_is_left_out_in_one_line(entry: dict[str, Any]) -> None:
    kept, left_out = offer(POWER_LIMIT, entry, CPU)
    assert kept.choices == (None,)
    assert left_out == [
        f"device.power_limit_w cannot be set here: {HELD_NOT}; type device.power_limit_w=null"
    ]


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (POWER_LIMIT, 199.0, "device.power_limit_w=199 is none that the GPU takes; type 200 to 700, or null"),
        (SM_CLOCK, 1001, "=1001 is no clock of the GPU; type device.sm_clock_mhz=1005, the nearest, or null"),
        (POWER_LIMIT, 200.0, None),
        (SM_CLOCK, 345, None),
        (POWER_LIMIT, None, None),
    ],
)
def test_what_a_gpu_cannot_be_held_to_is_refused_with_what_it_can(
    path: str, value: object, said: str | None
) -> None:
    reason = missing(path, value, H100)
    assert (reason is None) if said is None else (reason is not None and reason.endswith(said))


def test_a_gpu_that_offers_neither_says_so() -> None:
    plain = replace(H100, power_limits_w=(), sm_clocks_mhz=())
    assert "the GPU does not let it be set" in str(missing(SM_CLOCK, 345, plain))
    held = RunConfig.from_mapping({"device": {"sm_clock_mhz": 345}})
    assert "device.sm_clock_mhz" in str(absent(held, plain))
    assert absent(held, H100) is None


def test_two_runs_that_differ_in_their_power_limit_are_two_configurations() -> None:
    def key(**device: Any) -> str:
        return config_key({"device": device})

    assert key() == key(power_limit_w=None) == config_key({})
    assert len({key(), key(power_limit_w=300.0), key(power_limit_w=400.0), key(sm_clock_mhz=900)}) == 4
    assert key(power_limit_w=300.0) == key(power_limit_w=300)


@pytest.mark.parametrize(
    ("device", "meter"), [("cpu", "auto"), ("cpu", "cpu_time"), ("cuda", "rapl"), ("auto", "zeus")]
)
def test_without_a_gpu_that_nvml_meters_it_is_refused_before_anything_starts(device: str, meter: str) -> None:
    config = StudyConfig(
        device=DeviceSection(name=device, power_limit_w=300.0), meter=MeterSection(name=meter)
    )
    with pytest.raises(ConfigError, match=f"device={device} meter={meter}; type device=cuda meter=nvml, or"):
        check_run(config)
