"""Learning rate as a function of the step: pure, one function a schedule, a row each.

Every schedule maps the position after warm-up, from 0 (peak) to 1 (end of the schedule), to a share of the
peak.
"""

import math

from model.config import ScheduleConfig
from model.variants import Variant


def cosine(position: float, config: ScheduleConfig) -> float:
    return config.min_lr_ratio + 0.5 * (1.0 + math.cos(math.pi * position)) * (1.0 - config.min_lr_ratio)


def linear(position: float, config: ScheduleConfig) -> float:
    return 1.0 - position * (1.0 - config.min_lr_ratio)


def trapezoid(position: float, config: ScheduleConfig) -> float:
    decayed = (position - (1.0 - config.cooldown_fraction)) / config.cooldown_fraction
    return 1.0 - max(0.0, decayed) * (1.0 - config.min_lr_ratio)


SCHEDULES = {
    "cosine": Variant("model.schedule:cosine", "cosine decay from peak to minimum: nanoGPT's"),
    "linear": Variant("model.schedule:linear", "straight line from peak to minimum"),
    "trapezoid": Variant(
        "model.schedule:trapezoid", "constant, then a straight line over schedule.cooldown_fraction"
    ),
}


def learning_rate(step: int, peak: float, config: ScheduleConfig, decay_steps: int) -> float:
    """The rate of step `step` (from 0), as nanoGPT's `get_lr`: (step+1)/(warm-up+1) first, the minimum at
    the end."""
    if step < config.warmup_steps:
        return peak * (step + 1) / (config.warmup_steps + 1)
    if step >= decay_steps:
        return peak * config.min_lr_ratio
    position = (step - config.warmup_steps) / (decay_steps - config.warmup_steps)
    return float(peak * SCHEDULES[config.name].load()(position, config))
