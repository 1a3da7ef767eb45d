"""One configuration at another length: the same schedule, stretched or shortened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.config import ScheduleConfig, TrainConfig


def at_length(config: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """The nested run configuration with `train.max_steps=steps`, whose warm-up and decay keep their shares.

    Cool-downs and ramps are shares already. A warm-up that is not 0 keeps at least one step. What the
    configuration leaves out has its default.
    """
    train, schedule = dict(config.get("train", {})), dict(config.get("schedule", {}))
    before = train.get("max_steps", TrainConfig.max_steps)
    if steps == before:
        return dict(config)
    schedule["warmup_steps"] = _scaled(
        schedule.get("warmup_steps", ScheduleConfig.warmup_steps), steps / before
    )
    if schedule.get("decay_steps") is not None:
        schedule["decay_steps"] = _scaled(schedule["decay_steps"], steps / before)
    train["max_steps"] = steps
    return {**config, "train": train, "schedule": schedule}


def _scaled(steps: int, factor: float) -> int:
    return max(1, round(steps * factor)) if steps else 0
