"""What a record keeps beside joules: temperatures, waiting for data, what was compiled, short windows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from bare_meter import BareMeter
from scripted_run import INFO, REQUEST, TO_THE_TARGET, WATTS, Script, Step, ran

from model.progress import Compiled
from search.meter.choose import ChosenMeter
from search.meter.simulated.meter import FakeClock
from search.meter.simulated.program import PowerProfile
from search.run.execute import execute
from search.run.observations import short_window


@pytest.mark.parametrize(
    ("counted_s", "update_period_s", "short"),
    [(5.0, 0.1, True), (10.0, 0.1, False), (0.0, 0.1, True), (0.001, 0.0, False)],
)
def test_a_run_in_which_one_tick_is_over_a_hundredth_is_flagged(
    counted_s: float, update_period_s: float, short: bool
) -> None:
    assert short_window(counted_s, update_period_s) is short


def test_temperatures_of_the_start_the_end_and_the_peak_are_kept() -> None:
    clock = FakeClock()
    profile = PowerProfile(((0.0, 300.0), (6.0, 1.0)))
    meter = BareMeter(profile, clock, ambient_c=20.0, kelvin_per_w=0.1, thermal_time_s=2.0)
    record = execute(
        REQUEST, Script(clock, TO_THE_TARGET)(), [ChosenMeter(meter, INFO)], lambda state: None, clock=clock
    )
    start_c, end_c, max_c = (record.observed[f"temperature_{name}_c"] for name in ("start", "end", "max"))
    assert start_c == 20.0
    assert start_c < end_c < max_c
    assert record.observed["clock_sm_mhz"] == 1500.0


def test_an_unknown_temperature_is_not_in_the_record() -> None:
    record = ran(TO_THE_TARGET, faults={"ambient_c": None})
    assert not [key for key in record.observed if key.startswith("temperature")]


# ---- waiting for data


def waited(seconds: float) -> list[Step]:
    return [(step_s, replace(progress, waited_s=seconds)) for step_s, progress in TO_THE_TARGET]


def test_seconds_and_joules_of_waiting_for_data_are_kept() -> None:
    record = ran(waited(0.1))
    assert record.observed["data_wait_s"] == 0.1
    assert record.observed["data_wait_j"] == pytest.approx(0.1 * WATTS)
    assert record.flags == ()


def test_a_run_that_waited_for_over_two_percent_of_its_training_is_flagged() -> None:
    assert ran(waited(0.3)).flags == ("waited_for_data",)


def test_resident_data_leave_no_trace() -> None:
    assert not [key for key in ran(TO_THE_TARGET).observed if key.startswith("data_wait")]


# ---- what was compiled


def test_what_torch_compiled_is_kept_and_nothing_is_said_of_a_run_that_did_not() -> None:
    counted = [
        (s, replace(p, compiled=Compiled(3, 0)) if p.phase != "compile" else p) for s, p in TO_THE_TARGET
    ]
    assert {"compiled_graphs": 3, "graph_breaks": 0}.items() <= ran(counted).observed.items()
    assert "compiled_graphs" not in ran(TO_THE_TARGET).observed
