"""What became of an ablation, from a study's records and its configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.confirm.ablated_arms import AblationState, ablation_state
from search.confirm.settings import ConfirmSettings
from search.confirm.state import ConfirmationState
from search.record.record import Record
from search.report.view.confirmation import geometric_mean
from search.report.view.mixed import to_the_target


@dataclass(frozen=True)
class ArmOutcome:
    """One arm over the rounds that count: the geometric mean of its counted joules, None where not known, and
    how many of its `seeds` reached the target."""

    steps: int
    energy_j: float | None
    seeds: int
    reached: int


def study_ablation(
    records: Sequence[Record], confirmation: ConfirmationState | None, config: Mapping[str, Any]
) -> AblationState | None:
    """None where there is nothing to confirm, and where no ablation was asked for."""
    target_loss = next((record.target_loss for record in to_the_target(records)), None)
    if confirmation is None or target_loss is None:
        return None
    settings = ConfirmSettings(**config["confirm"])
    return ablation_state(records, confirmation, target_loss, settings, int(config["study"].get("seed", 0)))


def arm_outcome(state: AblationState, arm: str, target_loss: float) -> ArmOutcome | None:
    """None of an arm that has not run beside the others."""
    runs = [one.runs[arm] for one in state.rounds if arm in one.runs]
    if not runs:
        return None
    energy_j = geometric_mean([run.energy_j for run in runs if run.has_energy])
    reached = sum(run.loss <= target_loss for run in runs)
    return ArmOutcome(state.steps[arm], energy_j, len(runs), reached)
