"""A study whose runs are computed: a loss that falls like a line over ln(steps), joules that grow with them.

`cost` by `train.batch_size` says what a step costs beside the baseline's, `loss` how far its end lies from
the baseline's at the same number of steps.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from records_factory import make_record

from search.config.schema import BudgetSection, NoiseSection, StudyConfig
from search.confirm.settings import ConfirmSettings
from search.record.crossing import CurvePoint, crossing_at_the_end
from search.record.outcome import Outcome, Role
from search.record.record import Record
from search.run.request import RunRequest
from search.sampling.samplers import SamplerSection
from search.space.parse import parse_space
from search.study.next_run import next_run
from search.study.search_settings import SearchSettings

TARGET = 2.30
STEPS = 2000  # of the documented baseline
SLOPE = -0.14


@dataclass(frozen=True)
class World:
    """What is true. The documented baseline ends `margin` nats below the target."""

    cost: Mapping[int, float] = field(default_factory=lambda: {12: 1.0, 4: 0.2, 8: 0.3, 16: 0.5})
    loss: Mapping[int, float] = field(default_factory=lambda: {12: 0.0, 4: 0.05, 8: 0.02, 16: 0.0})
    margin: float = 0.05
    noise: float = 0.0065
    gain: float = 0.02
    crashes: Callable[[RunRequest], bool] = lambda request: False
    flags: Callable[[RunRequest, int], tuple[str, ...]] = lambda request, number: ()

    def run(self, request: RunRequest, records: Sequence[Record]) -> Record:
        """The record of a run, which is the same for the same configuration, seed and place in the study."""
        config = request.config
        batch, steps, seed = config["train"]["batch_size"], config["train"]["max_steps"], config["seed"]
        luck = random.Random(f"{seed} {batch} {steps}")
        loss = TARGET - self.margin + self.loss[batch] + SLOPE * math.log(steps / STEPS)
        loss += luck.gauss(0, self.noise)
        gain = math.exp(random.Random(f"{len(records)} {seed} {batch}").gauss(0, self.gain))
        energy_j = 0.05 * steps * self.cost[batch] * gain
        number = max((one.trial for one in records), default=-1) + 1
        if self.crashes(request):
            return self._record(request, number, Outcome.CRASHED, energy_j, (), (), None)
        outcome = Outcome.REACHED if loss <= TARGET else Outcome.OUT_OF_BUDGET
        curve = (CurvePoint(steps, steps * 768, loss, 0.004, energy_j, energy_j / 3),)
        flags = self.flags(request, len(records))
        test_loss = loss + 0.03 if request.to_the_end else None
        return self._record(request, number, outcome, energy_j, curve, flags, test_loss)

    def _record(
        self,
        request: RunRequest,
        number: int,
        outcome: Outcome,
        energy_j: float,
        curve: tuple[CurvePoint, ...],
        flags: tuple[str, ...],
        test_loss: float | None,
    ) -> Record:
        reached = outcome is Outcome.REACHED
        return replace(
            make_record(number, energy_j=energy_j, time_s=energy_j / 3, outcome=outcome, steps=10),
            run_id=f"run-{number}",
            role=request.role,
            params=dict(request.params),
            config=dict(request.config),
            seed=int(request.config["seed"]),
            target_loss=request.target_loss,
            curve=curve,
            crossing=crossing_at_the_end(curve, TARGET) if reached and curve else None,
            steps=int(request.config["train"]["max_steps"]) if curve else 0,
            flags=flags,
            test_loss=test_loss,
            confirmation=request.confirmation,
            index=request.index,
            retry_of=request.retry_of,
            system_attrs=dict(request.system_attrs),
        )


def study_settings(
    n_trials: int = 4, seed: int = 0, only_confirm: bool = False, **confirm: Any
) -> SearchSettings:
    """Of a study over the batch size alone."""
    config = StudyConfig(
        target_loss=TARGET,
        budget=BudgetSection(n_trials=n_trials, replicates=1),
        noise=NoiseSection(runs=1),
        sampler=SamplerSection(name="random", n_startup_trials=3),
        confirm=ConfirmSettings(**confirm),
    )
    config.study.name, config.study.seed = "a study", seed
    config.train.max_steps = STEPS
    space = parse_space(
        {"train.batch_size": {"type": "categorical", "choices": [4, 8, 16]}}, config.run_values()
    )
    return SearchSettings(config, space, vocab_size=65, only_confirm=only_confirm)


def run_study_through(
    settings: SearchSettings, world: World, before: Sequence[Record] = (), most: int = 500
) -> list[Record]:
    """The records of the whole study, or of as many runs more as `most`."""
    records = list(before)
    for _ in range(most):
        request = next_run(records, (), settings).request
        if request is None:
            break
        records.append(world.run(request, records))
    return records


def cut_off(record: Record) -> Record:
    """The same run, whose process was killed."""
    return replace(record, outcome=Outcome.CRASHED, interrupted=True, curve=(), crossing=None, values={})


def of_role(records: Sequence[Record], role: Role) -> list[Record]:
    return [record for record in records if record.role is role]
