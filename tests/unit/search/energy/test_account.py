from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import pytest
from bare_meter import BareMeter
from hypothesis import given
from hypothesis import strategies as st

from search.energy.account import (
    Account,
    Reading,
    mean_power_w,
)
from search.energy.counter_check import FROZEN_AFTER_PERIODS, FROZEN_AFTER_S, Counter
from search.meter.simulated.meter import FakeClock
from search.meter.simulated.program import PowerProfile
from search.record.ledger import Phase

READ_S = 0.25
CONSTANT = PowerProfile(((0.0, 70.0),))

Visits = Sequence[tuple[str, float]]  # phase, seconds in it


def walk(meter: BareMeter, clock: FakeClock, visits: Visits) -> Account:
    """An account over the visits, read at their boundaries only."""
    account = Account.open(visits[0][0], meter.read(), meter.counter)
    for index, (_, seconds) in enumerate(visits):
        clock.advance(seconds)
        upcoming = visits[index + 1][0] if index + 1 < len(visits) else visits[-1][0]
        account = account.enter(upcoming, meter.read())
    return account


def watch(account: Account, meter: BareMeter, clock: FakeClock, seconds: float) -> Account:
    """Go on in the same phase, looking a few times a second."""
    for _ in range(round(seconds / READ_S)):
        clock.advance(READ_S)
        account = account.advance(meter.read())
    return account


def started(
    profile: PowerProfile = CONSTANT, tick_s: float = 0.0, faults: dict[str, Any] | None = None
) -> tuple[Account, BareMeter, FakeClock]:
    clock = FakeClock(1000.0)
    meter = BareMeter(profile, clock, tick_s=tick_s, **(faults or {}))
    return Account.open(Phase.TRAIN, meter.read(), meter.counter), meter, clock


def replayed(*energies: float | None, every_s: float = READ_S) -> Account:
    """An account over readings at a steady pace."""
    readings = [Reading(index * every_s, energy_j) for index, energy_j in enumerate(energies)]
    account = Account.open(Phase.TRAIN, readings[0], Counter())
    for reading in readings[1:]:
        account = account.advance(reading)
    return account


# ---- how many joules


def test_constant_70_w_for_10_s_reads_700_j() -> None:
    clock = FakeClock()
    ledger = walk(BareMeter(CONSTANT, clock), clock, [(Phase.TRAIN, 10.0)]).ledger()
    assert ledger is not None
    assert ledger.gross_energy_j == pytest.approx(700.0)
    assert ledger.gross_time_s == pytest.approx(10.0)


@pytest.mark.parametrize("tick_s", [0.0, 0.02, 0.1])
@pytest.mark.parametrize("offset_s", [0.0, 0.013, 0.099])
def test_a_step_from_70_to_300_w_at_half_of_10_s_reads_1850_j_within_one_tick(
    tick_s: float, offset_s: float
) -> None:
    clock = FakeClock()
    profile = PowerProfile(((0.0, 70.0), (5.0 + offset_s, 300.0)))
    meter = BareMeter(profile, clock, tick_s=tick_s)
    clock.advance(offset_s)  # the window opens between two ticks
    ledger = walk(meter, clock, [(Phase.TRAIN, 10.0)]).ledger()
    assert ledger is not None
    assert ledger.gross_energy_j == pytest.approx(1850.0, abs=tick_s * 300.0 + 0.002)


def test_each_phase_is_charged_what_was_spent_in_it_and_a_second_visit_is_added() -> None:
    clock = FakeClock()
    profile = PowerProfile(((0.0, 10.0), (1.0, 100.0), (3.0, 50.0), (4.0, 100.0)))
    visits = [(Phase.SETUP, 1.0), (Phase.TRAIN, 2.0), (Phase.EVAL, 1.0), (Phase.TRAIN, 3.0)]
    ledger = walk(BareMeter(profile, clock), clock, visits).ledger()
    assert ledger is not None
    assert ledger.energy_j == pytest.approx(
        {
            Phase.SETUP: 10.0,
            Phase.COMPILE: 0.0,
            Phase.TRAIN: 500.0,
            Phase.EVAL: 50.0,
            Phase.CHECKPOINT: 0.0,
            Phase.INFERENCE: 0.0,
        }
    )
    assert ledger.time_s == pytest.approx(
        {
            Phase.SETUP: 1.0,
            Phase.COMPILE: 0.0,
            Phase.TRAIN: 5.0,
            Phase.EVAL: 1.0,
            Phase.CHECKPOINT: 0.0,
            Phase.INFERENCE: 0.0,
        }
    )


profiles = st.lists(
    st.tuples(st.floats(0.1, 40.0), st.floats(1.0, 700.0)), min_size=1, max_size=5, unique_by=lambda s: s[0]
).map(lambda steps: PowerProfile(((0.0, 60.0), *sorted(steps))))
visit_lists = st.lists(
    st.tuples(st.sampled_from(Phase), st.floats(min_value=0.2, max_value=15.0)), min_size=1, max_size=8
)
ticks = st.sampled_from([0.0, 0.01, 0.02, 0.1])


@given(profiles, visit_lists, ticks)
def test_phases_add_up_to_the_last_reading_minus_the_first(
    profile: PowerProfile, visits: Visits, tick_s: float
) -> None:
    clock = FakeClock()
    meter = BareMeter(profile, clock, tick_s=tick_s)
    account = walk(meter, clock, visits)
    ledger = account.ledger()
    assert ledger is not None
    assert account.first.energy_j is not None
    assert account.last.energy_j is not None
    assert ledger.gross_energy_j == pytest.approx(account.last.energy_j - account.first.energy_j, rel=1e-9)
    assert ledger.gross_time_s == pytest.approx(account.last.time_s - account.first.time_s, rel=1e-9)


@given(profiles, visit_lists, ticks)
def test_a_phase_is_within_one_tick_at_full_power_of_the_truth_for_each_visit(
    profile: PowerProfile, visits: Visits, tick_s: float
) -> None:
    clock = FakeClock()
    meter = BareMeter(profile, clock, tick_s=tick_s)
    ledger = walk(meter, clock, visits).ledger()
    assert ledger is not None
    truth, count, now_s = dict.fromkeys(Phase, 0.0), dict.fromkeys(Phase, 0), 0.0
    for phase, seconds in visits:
        truth[phase] += profile.energy_j(now_s + seconds) - profile.energy_j(now_s)
        count[phase] += 1
        now_s += seconds
    worst_j = tick_s * max(watts for _, watts in profile.steps) + 2 * meter.spec.counter.resolution_j
    for phase in Phase:
        assert ledger.energy_j[phase] == pytest.approx(truth[phase], abs=count[phase] * worst_j + 1e-6)


@given(profiles, visit_lists, ticks)
def test_looking_in_between_changes_no_phase(profile: PowerProfile, visits: Visits, tick_s: float) -> None:
    def ledger_of(looks: int) -> dict[str, float]:
        clock = FakeClock()
        meter = BareMeter(profile, clock, tick_s=tick_s)
        account = Account.open(visits[0][0], meter.read(), meter.counter)
        now_s = 0.0
        for phase, seconds in visits:
            account = account.enter(phase, meter.read())
            for look in range(1, looks):
                clock.now_s = now_s + seconds * look / looks
                account = account.advance(meter.read())
            now_s += seconds
            clock.now_s = now_s
            account = account.advance(meter.read())
        ledger = account.ledger()
        assert ledger is not None
        return dict(ledger.energy_j)

    assert ledger_of(1) == pytest.approx(ledger_of(4), rel=1e-9, abs=1e-9)


# ---- what cannot be trusted


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        ({"resets_at_s": 2.0}, "went back.*was reset"),
        ({"frozen_from_s": 2.0}, "stood still.*is frozen"),
        ({"unreadable_from_s": 2.0}, "is lost"),
        ({"reads_zero": True}, "stood still.*is frozen"),
    ],
    ids=["reset", "frozen", "unreadable", "always-zero"],
)
def test_a_faulty_counter_ends_with_no_ledger_and_a_reason_and_never_recovers(
    faults: dict[str, Any], reason: str
) -> None:
    account, meter, clock = started(faults=faults)
    account = watch(account, meter, clock, 6.0)
    assert account.ledger() is None
    assert re.search(reason, account.reason)
    before = account.reason
    healthy = BareMeter(PowerProfile(((0.0, 1e6),)), clock)
    account = watch(account, healthy, clock, 2.0).enter(Phase.EVAL, healthy.read())
    assert account.ledger() is None
    assert account.reason == before


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf, -math.inf, None])
@pytest.mark.parametrize("place", [0, 2, 4])
def test_one_reading_that_no_counter_can_give_spoils_the_account_for_good(
    bad: float | None, place: int
) -> None:
    energies: list[float | None] = [10.0, 20.0, 30.0, 40.0, 50.0]
    energies[place] = bad
    account = replayed(*energies, *(60.0, 70.0, 80.0))
    assert account.ledger() is None
    assert "the meter gave" in account.reason


def test_a_reading_without_a_value_keeps_the_meters_own_words() -> None:
    account = Account.open(Phase.TRAIN, Reading(0.0, 1.0), Counter())
    account = account.advance(Reading(1.0, None, "the driver was unloaded"))
    assert account.reason == "the driver was unloaded"


def test_zero_joules_over_work_is_unknown_also_where_it_is_too_short_to_look_frozen() -> None:
    account, meter, clock = started(faults={"reads_zero": True})
    clock.advance(FROZEN_AFTER_S / 2)
    account = account.advance(meter.read())
    assert account.ledger() is None
    assert "counted 0 J over 1.000 s" in account.reason


def test_an_account_that_was_only_opened_has_no_ledger() -> None:
    account, _, _ = started()
    assert account.ledger() is None
    assert account.reason


def test_a_good_account_has_a_ledger_and_no_reason() -> None:
    account = watch(*started(tick_s=0.1), 6.0)
    assert account.ledger() is not None
    assert account.reason == ""


def test_seconds_are_booked_on_also_after_the_energy_became_unknown() -> None:
    account = watch(*started(faults={"unreadable_from_s": 2.0}), 6.0)
    assert account.time_s[Phase.TRAIN] == pytest.approx(6.0)


def test_a_counter_may_stand_still_below_the_limit() -> None:
    pause = PowerProfile(((0.0, 70.0), (2.0, 0.0), (2.0 + FROZEN_AFTER_S, 70.0)))
    account = watch(*started(pause), 6.0)
    ledger = account.ledger()
    assert ledger is not None
    assert ledger.gross_energy_j == pytest.approx(70.0 * (6.0 - FROZEN_AFTER_S))


def test_a_counter_that_stands_still_longer_than_the_limit_is_frozen() -> None:
    pause = PowerProfile(((0.0, 70.0), (2.0, 0.0), (2.0 + FROZEN_AFTER_S + 2 * READ_S, 70.0)))
    assert watch(*started(pause), 6.0).ledger() is None


def test_a_slow_counter_gets_its_own_longer_limit() -> None:
    slow_s = 1.0
    assert FROZEN_AFTER_PERIODS * slow_s > FROZEN_AFTER_S
    still = round((FROZEN_AFTER_PERIODS * slow_s - 2.0) / READ_S)
    energies = [0.0, 70.0, *[70.0] * still, 140.0]
    for period_s, trusted in ((slow_s, True), (slow_s / 100, False)):
        account = Account.open(Phase.TRAIN, Reading(0.0, 0.0), Counter(period_s))
        for index, energy_j in enumerate(energies):
            account = account.advance(Reading(index * READ_S, energy_j))
        assert (account.ledger() is not None) == trusted


# ---- what nobody can have meant


def test_readings_out_of_order_are_refused() -> None:
    account = Account.open(Phase.TRAIN, Reading(5.0, 1.0), Counter())
    with pytest.raises(ValueError, match="order of time"):
        account.advance(Reading(4.5, 2.0))


# ---- mean power


def test_mean_power_is_joules_over_seconds() -> None:
    assert mean_power_w(Reading(10.0, 100.0), Reading(12.0, 114.0)) == pytest.approx(7.0)


def test_a_machine_that_draws_nothing_has_a_mean_power_of_zero() -> None:
    assert mean_power_w(Reading(0.0, 5.0), Reading(1.0, 5.0)) == 0.0


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (Reading(0.0, None), Reading(1.0, 5.0)),
        (Reading(0.0, 5.0), Reading(1.0, None)),
        (Reading(0.0, 5.0), Reading(1.0, math.nan)),
        (Reading(0.0, 5.0), Reading(0.0, 6.0)),
        (Reading(1.0, 5.0), Reading(0.0, 6.0)),
        (Reading(0.0, 5.0), Reading(1.0, 4.0)),
    ],
    ids=["no start", "no end", "nan", "no time", "time went back", "counter went back"],
)
def test_mean_power_is_unknown_where_nothing_can_be_said(start: Reading, end: Reading) -> None:
    assert mean_power_w(start, end) is None


# ---- how far off it may be


@given(
    profiles,
    visit_lists,
    ticks,
    st.sampled_from([(Phase.TRAIN,), (Phase.COMPILE, Phase.TRAIN), tuple(Phase)]),
)
def test_counted_joules_are_within_the_stated_error_of_the_truth(
    profile: PowerProfile, visits: Visits, tick_s: float, counted: tuple[str, ...]
) -> None:
    """Of programs whose power holds for longer than the window that the peak is looked for in."""
    steady = PowerProfile(tuple((10.0 * index, watts) for index, (_, watts) in enumerate(profile.steps)))
    clock = FakeClock()
    meter = BareMeter(steady, clock, tick_s=tick_s)
    account = Account.open(visits[0][0], meter.read(), meter.counter)
    truth_j, ends_s = 0.0, 0.0
    for index, (phase, seconds) in enumerate(visits):
        start_s, ends_s = ends_s, ends_s + seconds
        while clock() < ends_s - 1e-9:
            clock.advance(min(READ_S, ends_s - clock()))
            account = account.advance(meter.read())
        if index + 1 < len(visits):
            account = account.enter(visits[index + 1][0], meter.read())
        if phase in counted:
            truth_j += steady.energy_j(clock()) - steady.energy_j(start_s)
    ledger, error_j = account.ledger(), account.error_j(counted)
    if ledger is None or max(b for _, b in steady.steps) > 1.1 * account.peak_power_w:
        return  # too short for its peak to be seen
    assert error_j is not None
    assert abs(math.fsum(ledger.energy_j[phase] for phase in counted) - truth_j) <= error_j + 1e-6


def test_the_stated_error_is_a_tick_for_each_stretch_of_counted_phases() -> None:
    clock = FakeClock()
    meter = BareMeter(CONSTANT, clock, tick_s=0.1)
    visits = [
        (Phase.SETUP, 5.0),
        (Phase.COMPILE, 5.0),
        (Phase.TRAIN, 5.0),
        (Phase.EVAL, 5.0),
        (Phase.TRAIN, 5.0),
        (Phase.EVAL, 5.0),
    ]
    account = walk(meter, clock, visits)
    tick_j = 0.1 * 70.0 * 1.1 + 0.001
    assert account.error_j((Phase.COMPILE, Phase.TRAIN)) == pytest.approx(2 * tick_j)
    assert account.error_j((Phase.TRAIN,)) == pytest.approx(2 * tick_j)
    assert account.error_j((Phase.EVAL,)) == pytest.approx(2 * tick_j)
    assert account.error_j(tuple(Phase)) == pytest.approx(tick_j)


def test_an_unknown_energy_has_no_error() -> None:
    account = watch(*started(faults={"unreadable_from_s": 2.0}), 6.0)
    assert account.error_j((Phase.TRAIN,)) is None


def test_a_counter_that_follows_the_work_may_stand_still_for_any_time() -> None:
    account = Account.open(Phase.TRAIN, Reading(0.0, 1.0), Counter(clocked=False))
    account = account.advance(Reading(60.0, 1.0)).advance(Reading(120.0, 5.0))
    ledger = account.ledger()
    assert ledger is not None
    assert ledger.gross_energy_j == 4.0


def test_joules_resolve_where_they_stand_out_from_the_tick_of_every_stretch() -> None:
    def account(stretches: int, seconds: float) -> Account:
        clock = FakeClock()
        visits = [(Phase.SETUP, 5.0), *[(Phase.TRAIN, seconds), (Phase.EVAL, 5.0)] * stretches]
        return walk(BareMeter(CONSTANT, clock, tick_s=0.1), clock, visits)

    assert account(1, 0.2).resolves((Phase.TRAIN,))
    assert account(9, 0.2).resolves((Phase.TRAIN,))
    assert not account(9, 0.02).resolves((Phase.TRAIN,))
    assert account(9, 0.02).resolves(tuple(Phase))
    assert not watch(*started(faults={"unreadable_from_s": 2.0}), 6.0).resolves((Phase.TRAIN,))


def test_joules_of_a_continuous_counter_resolve_at_any_length() -> None:
    clock = FakeClock()
    visits = [(Phase.SETUP, 1.0), (Phase.TRAIN, 0.01), (Phase.EVAL, 1.0), (Phase.TRAIN, 0.01)]
    assert walk(BareMeter(CONSTANT, clock), clock, visits).resolves((Phase.TRAIN,))
