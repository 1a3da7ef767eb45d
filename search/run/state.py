"""A run so far, as frozen values: every instant of it can be turned into a record."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from model.progress import Progress
from search.energy.account import Account, Reading
from search.energy.counter_check import Counter
from search.record.crossing import CurvePoint
from search.record.flags import Flag
from search.record.forecast import Foreseen
from search.record.inference import Inference
from search.record.ledger import CountedPhases, Phase
from search.record.meter_info import MeterInfo
from search.record.objective import Spent
from search.run.pauses import Stillness
from search.run.request import RunRequest
from search.run.stopping import Standing


@dataclass(frozen=True)
class MeterState:
    """What one meter has counted: its account, and the counted joules at the latest evaluation."""

    info: MeterInfo
    account: Account
    at_evaluation_j: float | None = None
    flags: tuple[Flag, ...] = ()

    @staticmethod
    def open(info: MeterInfo, counter: Counter, reading: Reading) -> MeterState:
        return MeterState(info, Account.open(Phase.SETUP, reading, counter))

    def counted_j(self, policy: CountedPhases) -> float | None:
        """Counted joules so far; None if unknown."""
        ledger = self.account.ledger()
        return None if ledger is None else ledger.counted_energy_j(policy)


@dataclass(frozen=True)
class Temperatures:
    """The device's temperatures during a run, in degrees Celsius; None if unknown."""

    start_c: float | None = None
    end_c: float | None = None
    max_c: float | None = None

    def after(self, readings: Sequence[Reading]) -> Temperatures:
        """The first meter that gives a temperature is believed: the ranking one, where it has one."""
        now_c = next((one.temperature_c for one in readings if one.temperature_c is not None), None)
        if now_c is None:
            return self
        start_c = now_c if self.start_c is None else self.start_c
        return Temperatures(start_c, now_c, now_c if self.max_c is None else max(self.max_c, now_c))

    def observed(self) -> dict[str, float]:
        return {f"temperature_{name}": value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class RunState:
    """`meters` are the one that ranks, first, and those that are read at the same moments and rank nothing.

    `flags` are the run's own and those of the meter that ranks. `test_loss` is None until the test part is
    scored, which most runs never do. `foreseen`: when it first had hardly a chance to matter.
    """

    request: RunRequest
    started_at: str
    meters: tuple[MeterState, ...]
    progress: Progress
    curve: tuple[CurvePoint, ...] = ()
    test_loss: float | None = None
    test_loss_stderr: float | None = None
    temperatures: Temperatures = Temperatures()
    idle_power_w: float | None = None
    peak_memory_bytes: int | None = None
    flags: tuple[Flag, ...] = ()
    observed: Mapping[str, Any] = field(default_factory=dict)
    stillness: Stillness = field(default_factory=Stillness)
    foreseen: Foreseen | None = None
    inference: Inference | None = None

    @property
    def meter(self) -> MeterInfo:
        """The meter that ranks."""
        return self.meters[0].info

    @property
    def account(self) -> Account:
        """The account of the meter that ranks."""
        return self.meters[0].account

    @property
    def counted(self) -> tuple[float | None, float]:
        """Joules (None: unknown) and seconds in the counted phases until now."""
        policy = self.request.counted_phases
        seconds = math.fsum(self.account.time_s[phase] for phase in policy.phases)
        return self.meters[0].counted_j(policy), seconds

    @property
    def spent(self) -> Spent:
        energy_j, time_s = self.counted
        return Spent(
            energy_j,
            time_s,
            self.progress.tokens,
            self.request.parameters,
            self.peak_memory_bytes,
            None if self.inference is None else self.inference.energy_j_per_token,
        )

    @property
    def standing(self) -> Standing:
        ledger = self.account.ledger()
        return Standing(
            spent=self.spent,
            gross_energy_j=ledger.gross_energy_j if ledger else None,
            gross_time_s=self.account.last.time_s - self.account.first.time_s,
            train_loss=self.progress.train_loss,
            loss=self.progress.loss,
            previous_loss=self.curve[-2].loss if len(self.curve) > 1 else None,
        )

    def advance(
        self, progress: Progress, readings: Sequence[Reading], peak_memory_bytes: int | None
    ) -> RunState:
        """Book the readings, one for each meter, and enter the phase of `progress`."""
        evaluated = progress.loss is not None and math.isfinite(progress.loss)
        state = replace(
            self._with_readings(Phase(progress.phase), readings),
            progress=progress,
            peak_memory_bytes=peak_memory_bytes,
        )
        return state._with_evaluation() if evaluated else state

    def end(self, readings: Sequence[Reading]) -> RunState:
        """Book the last readings."""
        return self._with_readings(self.account.phase, readings)

    def _with_readings(self, phase: Phase, readings: Sequence[Reading]) -> RunState:
        meters = tuple(
            replace(one, account=one.account.enter(phase, reading))
            for one, reading in zip(self.meters, readings, strict=True)
        )
        return replace(self, meters=meters, temperatures=self.temperatures.after(readings))

    def _with_evaluation(self) -> RunState:
        policy, done = self.request.counted_phases, self.progress
        energy_j, time_s = self.counted
        assert done.loss is not None
        stderr = done.loss_stderr or 0.0
        point = CurvePoint(done.step, done.tokens, done.loss, stderr, energy_j, time_s, done.whole)
        meters = tuple(replace(one, at_evaluation_j=one.counted_j(policy)) for one in self.meters)
        return replace(
            self,
            meters=meters,
            curve=(*self.curve, point),
            test_loss=done.test_loss,
            test_loss_stderr=done.test_loss_stderr,
        )
