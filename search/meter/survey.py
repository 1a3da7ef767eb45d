"""What a meter shows of itself when it is tried: how often its counter moves, what idling draws, and
whether a load reads as it should."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from search.energy.account import Account, Reading, mean_power_w
from search.meter.base import Meter
from search.meter.sampling import SAMPLE_EVERY_S
from search.record.ledger import Phase

POLL_EVERY_S = 0.002
POLL_FOR_S = 1.5  # polling a counter so fast costs energy itself, so not for longer
READ_EVERY_S = 0.5  # as a run reads (search.run.execute)
READINGS = 50  # by which the time of one is told


@dataclass(frozen=True)
class Idle:
    """`update_period_s`: median time between two moves of the counter; None where it moved less than twice or
    at nearly every reading (it is then below `POLL_EVERY_S`, or moves all the time)."""

    power_w: float | None
    update_period_s: float | None
    problem: str
    moves_always: bool = False


@dataclass(frozen=True)
class Overhead:
    """What metering takes of a run's time: `read_s` is the median time of a reading, `rate_hz` how often a
    run reads at most, `share` the two together (0.005: half a percent)."""

    read_s: float
    rate_hz: float

    @property
    def share(self) -> float:
        return self.read_s * self.rate_hz


@dataclass(frozen=True)
class Load:
    """One window: joules by the meter, or why not, and what it saw beside them."""

    energy_j: float | None
    time_s: float
    error_j: float | None
    reason: str
    flags: tuple[str, ...]
    observed: Mapping[str, Any]
    temperature_rise_k: float | None

    @property
    def power_w(self) -> float | None:
        return None if self.energy_j is None or self.time_s <= 0 else self.energy_j / self.time_s


def update_period_s(readings: Sequence[Reading]) -> tuple[float | None, bool]:
    """The median time between moves of a counter that was polled, and whether it moved at nearly every
    reading."""
    pairs = list(itertools.pairwise(readings))
    moved_at = [new.time_s for old, new in pairs if new.energy_j != old.energy_j]
    if len(moved_at) > 0.5 * len(pairs):
        return None, bool(pairs)
    gaps = [later - earlier for earlier, later in itertools.pairwise(moved_at)]
    return (median(gaps) if gaps else None), False


def measure_idle(
    meter: Meter,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> Idle:
    """Poll for a while, then rest until `seconds` are over."""
    meter.start()
    began_s = clock()
    readings = [meter.read()]
    while clock() - began_s < min(POLL_FOR_S, seconds):
        sleep(POLL_EVERY_S)
        readings.append(meter.read())
    sleep(max(0.0, seconds - (clock() - began_s)))
    last = meter.read()
    meter.stop()
    period_s, always = update_period_s([one for one in readings if one.energy_j is not None])
    return Idle(mean_power_w(readings[0], last), period_s, readings[0].problem or last.problem, always)


def measure_overhead(meter: Meter, clock: Callable[[], float] = time.perf_counter) -> Overhead:
    """Of the readings that a run makes: two a second, and at most ten a second by a thread beside it, each
    taken to be as slow as one of all that the meter reads. Power that reading draws is not told."""
    meter.start()
    took_s = []
    for _ in range(READINGS):
        began_s = clock()
        meter.read()
        took_s.append(clock() - began_s)
    meter.stop()
    return Overhead(median(took_s), 1 / READ_EVERY_S + 1 / SAMPLE_EVERY_S)


def windows(
    meters: Sequence[Meter],
    work: Callable[[float], None],
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Load]:
    """Read all `meters` over the same window, in which `work(s)` is called again and again for s seconds."""
    accounts = []
    for meter in meters:
        meter.start()
        accounts.append(Account.open(Phase.TRAIN, meter.read(), meter.spec.counter))
    firsts = [account.first for account in accounts]
    ends_s = clock() + seconds
    while (left_s := ends_s - clock()) > 0:
        work(min(left_s, READ_EVERY_S))
        accounts = [account.advance(meter.read()) for account, meter in zip(accounts, meters, strict=True)]
    for meter in meters:
        meter.stop()
    return [
        _load(meter, account, first) for meter, account, first in zip(meters, accounts, firsts, strict=True)
    ]


def _load(meter: Meter, account: Account, first: Reading) -> Load:
    ledger = account.ledger()
    rise = None
    if first.temperature_c is not None and account.last.temperature_c is not None:
        rise = account.last.temperature_c - first.temperature_c
    return Load(
        energy_j=ledger.gross_energy_j if ledger else None,
        time_s=account.last.time_s - account.first.time_s,
        error_j=account.error_j((Phase.TRAIN,)),
        reason=account.reason,
        flags=tuple(meter.flags()),
        observed=dict(meter.observed()),
        temperature_rise_k=rise,
    )
