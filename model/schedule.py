"""Learning rate, momentum, batch size, context and averaging as functions of the step: pure.

Every schedule of the learning rate maps the position after warm-up, from 0 (peak) to 1 (end of the schedule),
to a share of the peak. The batch size and the context stay on few plateaus, so that all shapes of a run are
known before it.
"""

import math
from dataclasses import dataclass

from model.config import RunConfig, ScheduleConfig
from model.tables import SCHEDULES


def cosine(position: float, config: ScheduleConfig) -> float:
    return config.min_lr_ratio + 0.5 * (1.0 + math.cos(math.pi * position)) * (1.0 - config.min_lr_ratio)


def linear(position: float, config: ScheduleConfig) -> float:
    return 1.0 - position * (1.0 - config.min_lr_ratio)


def trapezoid(position: float, config: ScheduleConfig) -> float:
    """`sqrt`: 1 - sqrt(progress) of Haegele et al. (arXiv 2405.18392), steep at the start of the cooldown."""
    decayed = max(0.0, (position - (1.0 - config.cooldown_fraction)) / config.cooldown_fraction)
    if config.cooldown_shape == "sqrt":
        decayed = math.sqrt(decayed)
    return 1.0 - decayed * (1.0 - config.min_lr_ratio)


def learning_rate(step: int, peak: float, config: ScheduleConfig, decay_steps: int) -> float:
    """The rate of step `step` (from 0), as nanoGPT's `get_lr`: (step+1)/(warm-up+1) first, the minimum at
    the end."""
    if step < config.warmup_steps:
        return peak * (step + 1) / (config.warmup_steps + 1)
    if step >= decay_steps:
        return peak * config.min_lr_ratio
    position = (step - config.warmup_steps) / (decay_steps - config.warmup_steps)
    return float(peak * SCHEDULES[config.name].load()(position, config))


def momentum_share(step: int, config: RunConfig) -> float:
    """Muon's momentum at step `step` (from 0) as a share of `optimizer.muon_momentum`: the start at step 0,
    and again where the schedule's length is done."""
    schedule, length = config.schedule, config.decay_steps
    rise, fall = (
        share_in_steps(fraction, config)
        for fraction in (schedule.momentum_warmup_fraction, schedule.momentum_cooldown_fraction)
    )
    risen = step / rise if step < rise else 1.0
    left = max(0, length - step) / fall if fall and step > length - fall else 1.0
    return 1.0 - (1.0 - min(risen, left)) * (1.0 - schedule.momentum_from)


def momentum_changes(config: RunConfig) -> bool:
    """Whether Muon's momentum is ever another than the whole: at the first step or at the last."""
    return any(momentum_share(step, config) < 1.0 for step in (0, config.train.max_steps - 1))


def averaged_from(config: RunConfig) -> int | None:
    """The first step (from 0) after which the weights count in the mean; None where none is kept."""
    steps = share_in_steps(config.schedule.average_fraction, config)
    return config.decay_steps - steps if steps else None


def averaged_steps(config: RunConfig, steps: int) -> int:
    """After how many of a run's first `steps` steps the weights are taken into the mean."""
    start = averaged_from(config)
    return 0 if start is None else max(0, steps - start)


@dataclass(frozen=True)
class Plateau:
    """From step `first_step` (from 0) on, micro-batches are `batch_size` sequences of `context` tokens."""

    first_step: int
    batch_size: int
    context: int


def plateaus(config: RunConfig) -> tuple[Plateau, ...]:
    """The shapes of a run in their order, the first from step 0 on. Neither the batch size nor the context
    ever falls; one plateau where nothing ramps."""
    schedule = config.schedule
    starts = {0} | _changes(schedule.batch_ramp_from, share_in_steps(schedule.batch_ramp_fraction, config))
    starts |= _changes(schedule.context_ramp_from, share_in_steps(schedule.context_ramp_fraction, config))
    found: list[Plateau] = []
    for step in sorted(start for start in starts if start < config.train.max_steps):
        batch_size, context = batch_shape(step, config)
        if not found or (found[-1].batch_size, found[-1].context) != (batch_size, context):
            found.append(Plateau(step, batch_size, context))
    return tuple(found)


def batch_shape(step: int, config: RunConfig) -> tuple[int, int]:
    """(batch size, context) of each micro-batch of step `step` (from 0)."""
    schedule = config.schedule
    batch_steps = share_in_steps(schedule.batch_ramp_fraction, config)
    context_steps = share_in_steps(schedule.context_ramp_fraction, config)
    return (
        _ramped(step, config.train.batch_size, schedule.batch_ramp_from, batch_steps),
        _ramped(step, config.model.block_size, schedule.context_ramp_from, context_steps),
    )


def share_in_steps(fraction: float, config: RunConfig) -> int:
    """A share of the schedule's length in whole steps."""
    return round(fraction * config.decay_steps)


def _doublings(start: float) -> int:
    return round(-math.log2(start))


def _ramped(step: int, full: int, start: float, ramp_steps: int) -> int:
    """`full` over a power of two, rounded up: the plateau of `step` in a ramp of `ramp_steps`."""
    if step >= ramp_steps:
        return full
    doublings = _doublings(start)
    done = step * doublings // ramp_steps
    return -(-full // (1 << (doublings - done)))


def _changes(start: float, ramp_steps: int) -> set[int]:
    """The first step of every plateau after the first."""
    doublings = _doublings(start)
    return {math.ceil(done * ramp_steps / doublings) for done in range(1, doublings + 1)}
