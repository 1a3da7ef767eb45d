"""A record: everything that is kept of one run, and one line of `records.jsonl`.

A *run* is one execution of a trial's training. All energies are joules, all times seconds of a monotonic
clock, all losses nats per token; where the run's `target_metric` is accuracy, what is called a loss is an
error rate, 1 - accuracy (`model.metric`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

from model.config import current_path, with_current_keys
from model.metric import Metric, metric_of
from search.record.confirmation import Confirmation
from search.record.crossing import Crossing, CurvePoint
from search.record.forecast import Foreseen, Schedule
from search.record.inference import Inference
from search.record.ledger import CountedPhases, Ledger, Phase
from search.record.limits import Rival
from search.record.meter_info import Kind, MeterInfo, SecondMeter
from search.record.outcome import Outcome, Role

SCHEMA = 1

# Fields that a line of this schema holds in `extra`, where versions before this one look for them.
_IN_EXTRA = ("index", "system_attrs")
_ELSEWHERE = (*_IN_EXTRA, "counted_phases", "second_meters")  # in `meter` and as `also`


def part_of(provenance: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Such as `code` or `software`; empty where it is not known."""
    value = provenance.get(name)
    return value if isinstance(value, Mapping) else {}


@dataclass(frozen=True)
class Record:
    """Everything that is kept of one run: one line of `records.jsonl`.

    `gross_energy_j` and `ledger` are None where the energy is unknown (never 0). `values` holds what it cost
    to reach the target, by objective, and is empty where the target was not reached. `spent` holds the same
    objectives as they stood when the run ended, of every run that completes: the same numbers where the
    target was reached, and lower bounds, of those that have one, where it was not. `loss_gap` is best loss
    minus target: feasible means <= 0.

    `energy_error_j` bounds what the meter's update period and resolution may have moved into or out of
    `counted_energy_j`; the meter's gain is not in it. `second_meters` are those
    that were read beside the one that ranks, `observed` what
    the meter saw beside joules (temperatures in `temperature_start_c`, `_end_c` and `_max_c`, clocks, ...).

    `test_loss` is that of the test part at the last step, of a run of fixed length (`RunRequest.to_the_end`);
    None of every other run.

    `ended_by` is the trial that a dominated run was ended for, with the margin beyond it; `foreseen` when the
    run first had hardly a chance to matter, by the forecast of its loss. `late_of`: the `run_id` of the same
    run in the record that was written when its lease ran out.

    `inference`: what generating with the trained model took; None where it was not asked for, or the run has
    no model to ask.

    `index` is the configuration's place in the study's sequence, `system_attrs` what Optuna's sampler noted
    with it. In a line they are in `extra`, with `max_steps`.
    """

    study: str
    trial: int
    run_id: str
    role: Role
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
    counted_phases: CountedPhases
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
    index: int = 0
    system_attrs: Mapping[str, Any] = field(default_factory=dict)
    energy_error_j: float | None = None
    second_meters: tuple[SecondMeter, ...] = ()
    observed: Mapping[str, Any] = field(default_factory=dict)
    confirmation: Confirmation | None = None
    spent: Mapping[str, float] = field(default_factory=dict)
    test_loss: float | None = None
    test_loss_stderr: float | None = None
    ended_by: Rival | None = None
    foreseen: Foreseen | None = None
    late_of: str | None = None
    inference: Inference | None = None

    @property
    def metric(self) -> Metric:
        """What its losses are, and how people read them."""
        return metric_of(self.config)

    @property
    def feasible(self) -> bool:
        return self.outcome is Outcome.REACHED

    @property
    def energy_to_target_j(self) -> float | None:
        """Counted joules to the target, whether or not energy is an objective; None where it was not
        reached."""
        if not self.feasible:
            return None
        if (value := self.values.get("energy_to_target_j")) is not None:
            return float(value)
        return None if self.crossing is None else self.crossing.energy_j

    @property
    def max_steps(self) -> int | None:
        """The steps of the whole schedule; None where the configuration does not say."""
        steps: int | None = self.config.get("train", {}).get("max_steps")
        return steps

    @cached_property  # every draw of a study looks at those of all its runs
    def schedule(self) -> Schedule:
        """The learning rates of its steps. Raises ConfigError where they are another version's."""
        return Schedule.of_values(self.config)

    def to_dict(self) -> dict[str, Any]:
        """A JSON value that shares what it can with the record. `from_dict` is its inverse.

        Not `dataclasses.asdict`, which copies the whole configuration: this is called while a run is metered.
        """
        whole: dict[str, Any] = {"schema": SCHEMA} | {
            item.name: getattr(self, item.name) for item in fields(self) if item.name not in _ELSEWHERE
        }
        whole["extra"] = {name: getattr(self, name) for name in ("max_steps", *_IN_EXTRA)}
        whole["meter"] = vars(self.meter) | {"counted_phases": self.counted_phases}
        whole["ledger"] = None if self.ledger is None else vars(self.ledger)
        whole["curve"] = [vars(point) for point in self.curve]
        whole["crossing"] = None if self.crossing is None else vars(self.crossing)
        whole["confirmation"] = None if self.confirmation is None else vars(self.confirmation)
        whole["ended_by"] = None if self.ended_by is None else vars(self.ended_by)
        whole["foreseen"] = None if self.foreseen is None else vars(self.foreseen)
        whole["inference"] = None if self.inference is None else self.inference.to_dict()
        whole["also"] = [vars(one) for one in self.second_meters]
        return whole

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Record:
        """Raises ValueError where the line is of another schema or lacks a field."""
        if data.get("schema") != SCHEMA:
            raise ValueError(f"expected a record of schema {SCHEMA}, got {data.get('schema')!r}")
        rest = {key: value for key, value in data.items() if key != "schema"}
        try:
            meter = dict(rest["meter"])
            rest["counted_phases"] = CountedPhases(meter.pop("counted_phases"))
            rest["meter"] = MeterInfo(**meter | {"kind": Kind(meter["kind"])})
            extra = rest.pop("extra", {})
            rest |= {name: extra[name] for name in _IN_EXTRA if name in extra}
            rest["role"] = Role(rest["role"])
            rest["outcome"] = Outcome(rest["outcome"])
            rest["config"] = with_current_keys(rest["config"])
            rest["params"] = _with_current_paths(rest["params"], rest["config"])
            if "spent" not in rest:  # written before 0.2, where `values` was also what had been spent
                rest["spent"] = rest["values"]
                rest["values"] = rest["values"] if rest["outcome"] is Outcome.REACHED else {}
            rest["ledger"] = _ledger(rest["ledger"]) if rest["ledger"] else None
            rest["curve"] = tuple(CurvePoint(**point) for point in rest["curve"])
            rest["crossing"] = Crossing(**rest["crossing"]) if rest["crossing"] else None
            rest["flags"] = tuple(rest["flags"])
            rest["confirmation"] = _confirmation(rest.get("confirmation"))
            ended_by = rest.get("ended_by")
            rest["ended_by"] = None if ended_by is None else Rival.from_dict(ended_by)
            foreseen = rest.get("foreseen")
            rest["foreseen"] = None if foreseen is None else Foreseen(**foreseen)
            inference = rest.get("inference")
            rest["inference"] = None if inference is None else Inference.from_dict(inference)
            rest["second_meters"] = tuple(_second_meter(one) for one in rest.pop("also", ()))
            return Record(**rest)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a record of schema {SCHEMA}: {error}") from error


def _with_current_paths(params: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Of a trial that any version wrote: what it varied, by the paths of this one."""
    kept = {path: value for path, value in params.items() if current_path(path) == path}
    for path in [path for path in params if path not in kept]:
        part, _, name = current_path(path).partition(".")
        kept[f"{part}.{name}"] = config[part][name]
    return kept


def _confirmation(data: Mapping[str, Any] | None) -> Confirmation | None:
    return None if data is None else Confirmation.from_dict(data)


def _second_meter(data: Mapping[str, Any]) -> SecondMeter:
    phases_j = None if data["phases_j"] is None else _by_phase(data["phases_j"])
    own_types = {"kind": Kind(data["kind"]), "phases_j": phases_j, "flags": tuple(data["flags"])}
    return SecondMeter(**{**data, **own_types})


def _ledger(data: Mapping[str, Mapping[str, float]]) -> Ledger:
    return Ledger(**{name: _by_phase(amounts) for name, amounts in data.items()})


def _by_phase(amounts: Mapping[str, float]) -> dict[Phase, float]:
    """Lines of versions that generated no text have no phase of inference: it did not happen."""
    known = {Phase(name): amount for name, amount in amounts.items()}
    return {**known, Phase.INFERENCE: known.get(Phase.INFERENCE, 0.0)}
