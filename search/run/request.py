"""What one run is to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from model.config import RunConfig
from model.metric import Metric, metric_of
from search.record.confirmation import Confirmation
from search.record.forecast import Forecast
from search.record.inference import InferencePlan
from search.record.ledger import CountedPhases
from search.record.limits import Limits, Rival
from search.record.outcome import Role


@dataclass(frozen=True)
class RunRequest:
    """Plain values, so that it can cross to another process as JSON.

    `index` is the configuration's place in the study's sequence, `system_attrs` what the sampler noted with
    it; a configuration tried again keeps both.

    `to_the_end` makes a run of fixed length: trained to the last step of its schedule, evaluated there, once
    and whole, and scored there on the test part. It ends before only where it diverges or a limit is spent,
    and so has no rivals.

    `target_loss` is an error rate where its metric is accuracy. `forecast`: how its loss is forecast, for a
    run that may be ended where it has hardly a chance to matter. `inference`: what its trained model is to
    generate, to see what that takes; None for nothing.
    """

    study: str
    trial: int
    run_id: str
    role: Role
    params: Mapping[str, Any]
    config: Mapping[str, Any]
    target_loss: float
    objectives: tuple[str, ...]
    counted_phases: CountedPhases
    vocab_size: int
    index: int = 0
    system_attrs: Mapping[str, Any] = field(default_factory=dict)
    parameters: int = 0
    limits: Limits = field(default_factory=Limits)
    rivals: tuple[Rival, ...] = ()
    retry_of: int | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    confirmation: Confirmation | None = None
    to_the_end: bool = False
    forecast: Forecast | None = None
    inference: InferencePlan | None = None

    def __post_init__(self) -> None:
        assert not (self.to_the_end and self.rivals), "a run of fixed length is ended by no rival"

    @property
    def metric(self) -> Metric:
        """What its evaluations measure."""
        return metric_of(self.config)

    def run_config(self) -> RunConfig:
        return RunConfig.from_mapping(self.config)

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> RunRequest:
        own_types = {
            "role": Role(data["role"]),
            "objectives": tuple(data["objectives"]),
            "counted_phases": CountedPhases(data["counted_phases"]),
            "limits": Limits(**data["limits"]),
            "confirmation": data["confirmation"] and Confirmation.from_dict(data["confirmation"]),
            "rivals": tuple(map(Rival.from_dict, data["rivals"])),
            "forecast": data["forecast"] and Forecast.from_dict(data["forecast"]),
            "inference": data["inference"] and InferencePlan.from_dict(data["inference"]),
        }
        return RunRequest(**{**data, **own_types})
