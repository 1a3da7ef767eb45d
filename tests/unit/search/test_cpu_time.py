from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.energy import Account
from search.meter.cpu_time import CpuTimeMeter, process_tree_core_s, run_queue_wait_s
from search.meter.simulated import FakeClock
from search.trial import Kind

amounts = st.floats(min_value=0, max_value=1e6)

# A process that keeps a core busy for 0.3 s and then waits to be told to end.
BURNED_S = 0.3
BURN = f"""
import time
while time.process_time() < {BURNED_S}:
    pass
print("burned", flush=True)
input()
"""


@dataclass
class Busy:
    """Core-seconds that are used when told to; a text instead of them is trouble."""

    core_s: float = 0.0
    trouble: str = ""

    def __call__(self) -> float:
        if self.trouble:
            raise OSError(self.trouble)
        return self.core_s


def meter_of(watts_per_core: float = 4.0, static_w: float = 1.5) -> tuple[CpuTimeMeter, FakeClock, Busy]:
    clock, busy = FakeClock(100.0), Busy(7.0)
    return CpuTimeMeter(watts_per_core, static_w, clock, busy), clock, busy


@contextmanager
def burner() -> Iterator[subprocess.Popen[str]]:
    """A child that has burned its core-seconds and is still alive; it ends with the block."""
    with subprocess.Popen(
        [sys.executable, "-S", "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == "burned\n"
        yield child
        child.stdin.write("\n")


# ---- the formula


@given(amounts, amounts, amounts, amounts)
def test_energy_is_busy_core_seconds_and_seconds_times_their_watts(
    watts_per_core: float, static_w: float, core_s: float, seconds: float
) -> None:
    meter, clock, busy = meter_of(watts_per_core, static_w)
    first = meter.read()
    busy.core_s += core_s
    clock.advance(seconds)
    last = meter.read()
    assert first.energy_j is not None
    assert last.energy_j is not None
    expected = watts_per_core * core_s + static_w * seconds
    assert last.energy_j - first.energy_j == pytest.approx(expected, rel=1e-6, abs=1e-3)
    assert last.time_s - first.time_s == pytest.approx(seconds)


def test_a_process_that_waits_still_costs_its_static_watts() -> None:
    meter, clock, _ = meter_of(watts_per_core=4.0, static_w=1.5)
    account = Account.open("train", meter.read(), meter.spec.update_period_s)
    for _ in range(40):
        clock.advance(0.25)
        account = account.look(meter.read())
    ledger = account.ledger()
    assert ledger is not None
    assert ledger.gross_energy_j == pytest.approx(15.0)


def test_a_reading_carries_its_core_seconds_beside_its_joules() -> None:
    meter, _, busy = meter_of()
    busy.core_s = 9.5
    assert meter.read().busy_core_s == 9.5


def test_the_spec_says_estimated_and_holds_the_coefficients() -> None:
    spec = meter_of(4.0, 1.5)[0].spec
    assert (spec.name, spec.kind, spec.devices) == ("cpu_time", Kind.ESTIMATED, ("cpu",))
    assert spec.settings == {"watts_per_core": 4.0, "static_w": 1.5}


def test_core_seconds_that_cannot_be_read_are_a_reading_without_a_value() -> None:
    meter, _, busy = meter_of()
    busy.trouble = "permission denied"
    reading = meter.read()
    assert reading.energy_j is None
    assert "permission denied" in reading.problem


def test_core_seconds_that_cannot_be_read_raise_nowhere_in_a_run() -> None:
    meter, clock, busy = meter_of()
    busy.trouble = "permission denied"
    meter.start()
    clock.advance(1.0)
    assert meter.read().energy_j is None
    meter.flags()


# ---- real processes


def test_core_seconds_of_a_child_count_while_it_lives_and_after_it_ended() -> None:
    before = process_tree_core_s()
    with burner():
        alive = process_tree_core_s()
    ended = process_tree_core_s()
    assert alive - before >= BURNED_S * 0.9  # the kernel counts in hundredths
    assert ended >= alive - 0.02


def test_core_seconds_of_a_childs_own_child_count_too() -> None:
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {BURN!r}])"
    before = process_tree_core_s()
    with subprocess.Popen(
        [sys.executable, "-c", nested], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "burned\n"
        assert process_tree_core_s() - before >= BURNED_S * 0.9
        assert child.stdin is not None
        child.stdin.write("\n")
    assert process_tree_core_s() - before >= BURNED_S * 0.9


def test_this_process_own_work_counts() -> None:
    meter = CpuTimeMeter(watts_per_core=10.0, static_w=0.0)
    first, spent = meter.read(), time.process_time()
    while time.process_time() - spent < 0.05:
        pass
    last = meter.read()
    assert first.energy_j is not None
    assert last.energy_j is not None
    assert last.energy_j - first.energy_j >= 10.0 * 0.05


# ---- flags


def test_a_quiet_machine_raises_no_flag() -> None:
    meter, clock, _ = meter_of()
    meter.start()
    clock.advance(1e9)  # whatever the real machine does meanwhile is nothing over this time
    assert meter.flags() == ()


def test_work_on_the_machine_that_is_not_the_runs_is_foreign_load() -> None:
    meter, clock, _ = meter_of()
    meter.start()
    with burner():  # the fake run is charged none of it
        clock.advance(1.0)
        assert "foreign_cpu_load" in meter.flags()


def test_the_runs_own_work_is_not_foreign_load() -> None:
    meter, clock, busy = meter_of()
    meter.start()
    with burner():
        busy.core_s += 1e6
        clock.advance(1.0)
        assert "foreign_cpu_load" not in meter.flags()


def test_a_new_run_forgets_the_load_of_the_one_before() -> None:
    meter, clock, busy = meter_of()
    busy.core_s -= 1e9  # the machine is then ahead of the run by as much foreign work
    clock.advance(1000.0)
    assert "foreign_cpu_load" in meter.flags()
    meter.start()
    clock.advance(1e6)
    assert meter.flags() == ()


def test_no_time_gives_no_flags() -> None:
    meter, _, _ = meter_of()
    meter.start()
    assert meter.flags() == ()


def test_waiting_for_a_core_is_counted_up() -> None:
    first = run_queue_wait_s()
    assert 0.0 <= first <= run_queue_wait_s()
