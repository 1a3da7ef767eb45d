"""A whole study in values: runs whose loss and joules follow from their configuration, as programmed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from records_factory import TARGET, make_curve, make_record

from search.config.schema import BudgetSection, NoiseSection, StudyConfig
from search.confirm.settings import ConfirmSettings
from search.record.outcome import Outcome, Role
from search.record.record import Record
from search.report.view.data import StudyView, study_view
from search.run.request import RunRequest
from search.sampling.samplers import SamplerSection
from search.space.parse import parse_space
from search.study.next_run import next_run
from search.study.search_settings import SearchSettings

SLOPE = -0.14  # nats for each e-fold of the steps


@dataclass(frozen=True)
class World:
    """What is true. Fewer layers halve the cost of a step, four times the learning rate halves the steps,
    both together take `interaction` times what that comes to. Where they are not None, few layers alone take
    `never` times the steps and the rate alone `never_large` times. `cut_off`: numbers of runs that are
    interrupted."""

    needed_steps: float = 1500.0
    interaction: float = 1.0
    never: float | None = None
    never_large: float | None = None
    noise: float = 0.004
    gain: float = 0.02
    cut_off: frozenset[int] = field(default_factory=frozenset)

    def steps_needed(self, config: Any) -> float:
        fast, small = config["optimizer"]["lr"] > 2e-3, config["model"]["n_layer"] < 4
        steps = self.needed_steps * (0.5 if fast else 1.0)
        if self.never is not None and small and not fast:
            steps *= self.never
        if self.never_large is not None and fast and not small:
            steps *= self.never_large
        return steps * (self.interaction if fast and small else 1.0)

    def cost_j(self, config: Any) -> float:
        """Of a step."""
        return 0.02 * config["model"]["n_layer"] / 4 * config["train"]["batch_size"] / 12


def study_settings(**confirm: Any) -> SearchSettings:
    section = {"candidates": 1, "seeds": 4, "max_seeds": 6, "loss_margin": 0.1, "ablate": True}
    config = StudyConfig(
        target_loss=TARGET,
        budget=BudgetSection(n_trials=8, replicates=1),
        noise=NoiseSection(runs=1),
        sampler=SamplerSection(name="random"),
        confirm=ConfirmSettings(**section | confirm),
    )
    config.study.name = "a study"
    space = parse_space(
        {
            "model.n_layer": {"type": "categorical", "choices": [4, 2]},
            "optimizer.lr": {"type": "categorical", "choices": [1e-3, 4e-3]},
            "train.batch_size": {"type": "categorical", "choices": [12, 24]},
        },
        config.run_values(),
    )
    return SearchSettings(config, space, vocab_size=65)


def ran(request: RunRequest, records: Sequence[Record], world: World) -> Record:
    """The record of a run that was asked for."""
    number = len(records)
    rng = np.random.default_rng((request.config["seed"], number))
    needed, cost_j = world.steps_needed(request.config), world.cost_j(request.config)
    steps = int(request.config["train"]["max_steps"]) if request.to_the_end else round(needed)
    loss = TARGET - 0.005
    if request.to_the_end:
        loss = TARGET + SLOPE * math.log(steps / needed) + world.noise * rng.standard_normal()
    energy_j = steps * cost_j * math.exp(world.gain * rng.standard_normal())
    cut_off = number in world.cut_off
    outcome = Outcome.CRASHED if cut_off else Outcome.REACHED if loss <= TARGET else Outcome.OUT_OF_BUDGET
    made = make_record(number, energy_j=energy_j, time_s=energy_j / 3, outcome=outcome, final_loss=loss)
    curve = make_curve(steps=steps, final_loss=loss, power_w=3.0, seconds=energy_j / 3)
    return replace(
        made,
        run_id=f"run-{number}",
        role=request.role,
        seed=request.config["seed"],
        params=dict(request.params),
        config=dict(request.config),
        curve=() if cut_off else curve,
        steps=steps,
        interrupted=cut_off,
        retry_of=request.retry_of,
        index=request.index,
        confirmation=request.confirmation,
        test_loss=loss + 0.01 if request.role is Role.CONFIRM else None,
    )


def whole_study(
    settings: SearchSettings, world: World, before: Sequence[Record] = (), most: int = 400
) -> list[Record]:
    """The records at the end; `before` are those of a process that was killed."""
    records = list(before)
    while len(records) < most:
        request = next_run(records, (), settings).request
        if request is None:
            return records
        records.append(ran(request, records, world))
    raise AssertionError("the study does not end")


def ablated_view(world: World, at: int | None = None, **confirm: Any) -> StudyView:
    """What a report is made of, at the end or after `at` runs."""
    settings = study_settings(**confirm)
    return study_view(whole_study(settings, world)[:at], asdict(settings.config))
