"""The words of a trial's life, as frozen values: outcome, ledger, curve, crossing, record.

A *run* is one execution of a trial's training; a `Record` is everything that is kept of it, and one line of
`records.jsonl`. All energies are joules, all times seconds of a monotonic clock, all losses nats per token.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from model.config import renamed, with_current_keys

SCHEMA = 1

PHASES = ("setup", "compile", "train", "eval", "checkpoint")


class Outcome(StrEnum):
    """How a run ended. Optuna's own COMPLETE, PRUNED or FAIL is derived from it, never the other way
    round."""

    REACHED = "REACHED"
    OUT_OF_BUDGET = "OUT_OF_BUDGET"
    DOMINATED = "DOMINATED"
    DIVERGED = "DIVERGED"
    CRASHED = "CRASHED"
    UNMEASURED = "UNMEASURED"

    @property
    def completes(self) -> bool:
        """Whether samplers learn from it: from every run whose values can be trusted."""
        return self not in (Outcome.CRASHED, Outcome.UNMEASURED)

    @property
    def advice(self) -> str:
        return _ADVICE[self]


_ADVICE = {
    Outcome.REACHED: "reached the target loss",
    Outcome.OUT_OF_BUDGET: "ended at its step, token, second or joule budget before the target; "
    "raise the budget if many trials end here",
    Outcome.DOMINATED: "ended early: a finished trial had already reached the target for less of everything",
    Outcome.DIVERGED: "the loss became infinite, or rose far above where it started",
    Outcome.CRASHED: "the run raised an error or its worker died; the reason is in its record",
    Outcome.UNMEASURED: "the meter could not be trusted, so the run has no energy and cannot rank",
}


class Kind(StrEnum):
    """Where a joule comes from. Numbers of different kinds never share a front."""

    MEASURED = "measured"
    ESTIMATED = "estimated"
    MODELLED = "modelled"


class CountedPhases(StrEnum):
    """Which phases of the ledger count as the energy of getting the trained model."""

    COMPILE_TRAIN = "compile_train"
    TRAIN = "train"
    GROSS = "gross"

    @property
    def phases(self) -> tuple[str, ...]:
        return {
            CountedPhases.COMPILE_TRAIN: ("compile", "train"),
            CountedPhases.TRAIN: ("train",),
            CountedPhases.GROSS: PHASES,
        }[self]


@dataclass(frozen=True)
class Ledger:
    """Joules and seconds by phase. A phase that did not happen is 0; an unknown energy has no ledger at
    all."""

    energy_j: Mapping[str, float]
    time_s: Mapping[str, float]

    def __post_init__(self) -> None:
        for name, values in (("energy_j", self.energy_j), ("time_s", self.time_s)):
            if set(values) != set(PHASES):
                raise ValueError(f"a ledger's {name} needs exactly the phases {PHASES}, got {tuple(values)}")

    @property
    def gross_energy_j(self) -> float:
        return math.fsum(self.energy_j.values())

    @property
    def gross_time_s(self) -> float:
        return math.fsum(self.time_s.values())

    def counted_energy_j(self, policy: CountedPhases) -> float:
        return math.fsum(self.energy_j[phase] for phase in policy.phases)

    def counted_time_s(self, policy: CountedPhases) -> float:
        return math.fsum(self.time_s[phase] for phase in policy.phases)


@dataclass(frozen=True)
class CurvePoint:
    """One evaluation: where training stood, and what had been spent in counted phases until then.

    `energy_j` is None where the meter gave nothing that can be trusted. `whole` is False where the evaluation
    ended early because its loss was plainly above the target; `loss` is then an estimate of `loss_stderr`.
    """

    step: int
    tokens: int
    loss: float
    loss_stderr: float
    energy_j: float | None
    time_s: float
    whole: bool = True


@dataclass(frozen=True)
class Crossing:
    """Where the target was reached: at the first evaluation at or below it (`energy_j`, `time_s`: an upper
    bound).

    `energy_low_j` / `time_low_s` belong to the last evaluation above the target, so the true crossing lies
    between the two; `energy_interpolated_j` is linear in the loss and a diagnostic only.
    """

    step: int
    tokens: int
    loss: float
    energy_j: float
    time_s: float
    energy_low_j: float
    time_low_s: float
    energy_interpolated_j: float
    time_interpolated_s: float

    @property
    def relative_interval(self) -> float:
        """Width of the interval as a fraction of the counted joules."""
        return (self.energy_j - self.energy_low_j) / self.energy_j if self.energy_j > 0 else 0.0


def find_crossing(curve: Sequence[CurvePoint], target_loss: float) -> Crossing | None:
    """The first evaluation at or below `target_loss`, or None. Points without a trusted energy give None."""
    before: CurvePoint | None = None
    for point in curve:
        if point.loss <= target_loss:
            return _crossing(before, point, target_loss)
        before = point
    return None


def _crossing(before: CurvePoint | None, at: CurvePoint, target_loss: float) -> Crossing | None:
    low_j = 0.0 if before is None else before.energy_j
    if at.energy_j is None or low_j is None:
        return None
    low_s = 0.0 if before is None else before.time_s
    drop = 0.0 if before is None else before.loss - at.loss
    share = 1.0 if before is None or drop <= 0 else (before.loss - target_loss) / drop
    return Crossing(
        step=at.step,
        tokens=at.tokens,
        loss=at.loss,
        energy_j=at.energy_j,
        time_s=at.time_s,
        energy_low_j=low_j,
        time_low_s=low_s,
        energy_interpolated_j=low_j + share * (at.energy_j - low_j),
        time_interpolated_s=low_s + share * (at.time_s - low_s),
    )


@dataclass(frozen=True)
class MeterInfo:
    """Which meter a run was read by, and with what settings (watts per core, device UUIDs, ...)."""

    name: str
    kind: Kind
    counted_phases: CountedPhases
    chosen_because: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SideReading:
    """What another meter counted over the same run, by the same policy as the ranking meter.

    `counted_energy_j` is until the crossing where the target was reached, else until the end of the run. None
    is unknown, and `reason` says why.
    """

    meter: str
    kind: Kind
    counted_energy_j: float | None
    gross_energy_j: float | None
    phases_j: Mapping[str, float] | None
    reason: str = ""
    flags: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """Everything that is kept of one run: one line of `records.jsonl`.

    `gross_energy_j` and `ledger` are None where the energy is unknown (never 0). `values` holds what it cost
    to reach the target, by objective, and is empty where the target was not reached. `spent` holds the same
    objectives as they stood when the run ended, of every run that completes: the same numbers where the
    target was reached, and lower bounds where it was not. `loss_gap` is best loss minus target: feasible
    means <= 0.

    `energy_error_j` bounds what the meter's update period and resolution may have moved into or out of
    `counted_energy_j`; the meter's gain is not in it. `also` holds what other meters counted, `observed` what
    the meter saw beside joules (temperatures in `temperature_start_c`, `_end_c` and `_max_c`, clocks, ...).
    """

    study: str
    trial: int
    run_id: str
    role: str  # baseline | search | replicate | single
    seed: int
    params: Mapping[str, Any]
    config: Mapping[str, Any]
    outcome: Outcome
    reason: str
    target_loss: float
    loss_gap: float | None
    best_loss: float | None
    steps: int
    tokens: int
    parameters: int
    meter: MeterInfo
    gross_energy_j: float | None
    net_energy_j: float | None
    idle_power_w: float | None
    ledger: Ledger | None
    counted_energy_j: float | None
    counted_time_s: float | None
    curve: tuple[CurvePoint, ...]
    crossing: Crossing | None
    values: Mapping[str, float]
    peak_memory_bytes: int | None
    flags: tuple[str, ...] = ()
    interrupted: bool = False
    retry_of: int | None = None
    started_at: str = ""  # ISO 8601, UTC
    ended_at: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    energy_error_j: float | None = None
    also: tuple[SideReading, ...] = ()
    observed: Mapping[str, Any] = field(default_factory=dict)
    spent: Mapping[str, float] = field(default_factory=dict)

    @property
    def feasible(self) -> bool:
        return self.outcome is Outcome.REACHED

    def to_dict(self) -> dict[str, Any]:
        """A JSON value that shares what it can with the record. `from_dict` is its inverse.

        Not `dataclasses.asdict`, which copies the whole configuration: this is called while a run is metered.
        """
        whole: dict[str, Any] = {"schema": SCHEMA} | {
            item.name: getattr(self, item.name) for item in fields(self)
        }
        whole["meter"] = vars(self.meter)
        whole["ledger"] = None if self.ledger is None else vars(self.ledger)
        whole["curve"] = [vars(point) for point in self.curve]
        whole["crossing"] = None if self.crossing is None else vars(self.crossing)
        whole["also"] = [vars(side) for side in self.also]
        return whole

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Record:
        """Raises ValueError where the line is of another schema or lacks a field."""
        if data.get("schema") != SCHEMA:
            raise ValueError(f"expected a record of schema {SCHEMA}, got {data.get('schema')!r}")
        rest = {key: value for key, value in data.items() if key != "schema"}
        try:
            meter = rest["meter"]
            rest["meter"] = MeterInfo(
                **(
                    meter
                    | {"kind": Kind(meter["kind"]), "counted_phases": CountedPhases(meter["counted_phases"])}
                )
            )
            rest["outcome"] = Outcome(rest["outcome"])
            rest["config"] = with_current_keys(rest["config"])
            rest["params"] = _with_current_paths(rest["params"], rest["config"])
            if "spent" not in rest:  # written before 0.2, where `values` was also what had been spent
                rest["spent"] = rest["values"]
                rest["values"] = rest["values"] if rest["outcome"] is Outcome.REACHED else {}
            rest["ledger"] = Ledger(**rest["ledger"]) if rest["ledger"] else None
            rest["curve"] = tuple(CurvePoint(**point) for point in rest["curve"])
            rest["crossing"] = Crossing(**rest["crossing"]) if rest["crossing"] else None
            rest["flags"] = tuple(rest["flags"])
            rest["also"] = tuple(_side_reading(side) for side in rest.get("also", ()))
            return Record(**rest)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a record of schema {SCHEMA}: {error}") from error


def _with_current_paths(params: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Of a trial that any version wrote: what it varied, by the paths of this one."""
    kept = {path: value for path, value in params.items() if renamed(path) is None}
    if len(kept) == len(params):
        return dict(params)
    return kept | {"model.lookup_table": config["model"]["lookup_table"]}


def _side_reading(data: Mapping[str, Any]) -> SideReading:
    return SideReading(**{**data, "kind": Kind(data["kind"]), "flags": tuple(data["flags"])})
