"""Runs that are computed, through the code that decides in real ones.

`search.run.execute` drives a training whose losses come from a surrogate, on a clock that passes as the
surrogate's joules do: evaluations come where the cadence asks for them, end early where a real one would, and
the run ends where it reaches its target, is dominated, or spends a budget.
"""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from replay.surrogate import Prediction, Run, Surrogate

from model.config import RunConfig
from model.evaluate import FEWEST_WINDOWS, PLAINLY_ABOVE, UNAIDED_SHARE
from model.progress import EvaluationResult, Progress
from search.config.schema import StudyConfig
from search.energy.account import Reading
from search.energy.counter_check import Counter
from search.meter.base import MeterSpec, WorkDone
from search.meter.choose import ChosenMeter
from search.meter.simulated.meter import FakeClock
from search.record.meter_info import Kind, MeterInfo
from search.record.outcome import Role
from search.record.record import Record
from search.run.cadence import evaluation_cost_steps, steps_until_evaluation
from search.run.execute import execute
from search.run.request import RunRequest
from search.space.canonical import config_key

WATTS = 4.75  # of one busy core, as meter=cpu_time counts: what makes seconds of joules
INFO = MeterInfo("replay", Kind.MODELLED)
# How far the losses of windows spread after a training: their differences to the last whole evaluation, as a
# share of the losses themselves. Seen on characters.
DIFFERENCES_SHARE = 0.27


class JoulesOfClock:
    """A meter of constant power: on a clock that passes by joules, exact."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    @property
    def spec(self) -> MeterSpec:
        return MeterSpec("replay", Kind.MODELLED, Counter(0.0, 1e-9), ("replay",))

    def start(self, work: WorkDone | None = None) -> None:
        pass

    def read(self) -> Reading:
        return Reading(self._clock(), WATTS * self._clock())

    def stop(self) -> None:
        pass

    def flags(self) -> Sequence[str]:
        return ()

    def observed(self) -> Mapping[str, Any]:
        return {}

    def close(self) -> None:
        pass


@dataclass
class World:
    """A problem whose runs are computed. `validation_tokens` as the study has them."""

    surrogate: Surrogate
    baseline: Run
    config: StudyConfig
    validation_tokens: int
    vocab_size: int
    predicted: dict[str, Prediction] = field(default_factory=dict)

    @property
    def windows_spread(self) -> float:
        """Standard deviation of the losses of evaluation windows, in nats, at the end of the baseline."""
        return self.baseline.loss_stderr[-1] * math.sqrt(self._windows)

    @property
    def _windows(self) -> int:
        return self.validation_tokens // self.config.evaluation.context

    def prediction(self, params: Mapping[str, Any]) -> Prediction:
        key = json.dumps(dict(params), sort_keys=True)
        if key not in self.predicted:
            self.predicted[key] = self.surrogate.predict([params])[0]
        return self.predicted[key]

    def run(self, request: RunRequest, records: Sequence[Record]) -> Record:
        """The record of a run; the same for the same configuration and seed."""
        number = max((record.trial for record in records), default=-1) + 1
        request = replace(request, trial=number, run_id=f"run-{number}")
        clock = FakeClock(1.0)
        training = self._training(request, clock)
        meters = [ChosenMeter(JoulesOfClock(clock), INFO)]
        return execute(request, training, meters, lambda state: None, clock=clock)

    def _training(self, request: RunRequest, clock: FakeClock) -> Generator[Progress, None, None]:
        config = request.run_config()
        if request.role is Role.BASELINE or config_key(request.config) == config_key(
            self.config.run_values()
        ):
            loss_at, step_j, token_j, setup_j = self._of_baseline(config)
        else:
            prediction = self.prediction(request.params)
            luck = float(np.random.default_rng(config.seed).normal())
            step_j, token_j, setup_j = prediction.step_j, prediction.token_j, prediction.setup_j

            def loss_at(share: float) -> float:
                return prediction.loss_at(share, math.log(self.vocab_size), luck)

        def pass_j(joules: float) -> None:
            clock.advance(joules / WATTS)

        steps, per_step = config.train.max_steps, config.tokens_per_step
        results: list[EvaluationResult] = []
        due = steps if request.to_the_end else self._wait(config, request, results)
        pass_j(setup_j)
        yield Progress(0, 0, "train")
        for step in range(1, steps + 1):
            pass_j(step_j)
            tokens, is_last = step * per_step, step == steps
            if step < due and not is_last:
                yield Progress(step, tokens, "train")
                continue
            yield Progress(step, tokens, "eval")
            loss = loss_at(step / steps)
            aided = any(result.whole for result in results)
            share = (
                1.0
                if is_last
                else share_of_evaluation(
                    loss - request.target_loss, self._windows, self.windows_spread, aided
                )
            )
            predicted = round(share * self.validation_tokens)
            pass_j(token_j * predicted * (2 if request.to_the_end else 1))
            stderr = self.windows_spread / math.sqrt(self._windows)
            results.append(EvaluationResult(step, loss, stderr, share))
            due = step + max(1, self._wait(config, request, results))
            yield Progress(
                step,
                tokens,
                "train",
                loss=loss,
                loss_stderr=stderr,
                evaluated_tokens=predicted,
                whole=share >= 1.0,
                test_loss=loss if request.to_the_end else None,
                test_loss_stderr=stderr if request.to_the_end else None,
            )

    def _wait(self, config: RunConfig, request: RunRequest, results: Sequence[EvaluationResult]) -> int:
        cost = evaluation_cost_steps(config, self.validation_tokens)
        return steps_until_evaluation(results, request.target_loss, config.evaluation.interval, cost)

    def _of_baseline(self, config: RunConfig) -> Any:
        run = self.baseline

        def loss_at(share: float) -> float:
            steps = share * config.train.max_steps
            return float(np.interp(steps, [0, *run.step], [math.log(self.vocab_size), *run.loss]))

        return loss_at, run.train_j / run.steps, run.eval_j / run.evaluated_tokens, run.setup_j


def share_of_evaluation(gap: float, windows: int, spread: float, aided: bool) -> float:
    """How much of an evaluation is made where the loss lies `gap` nats above the target, and those of windows
    have a standard deviation of `spread` (`model.evaluate`)."""
    if aided:
        spread *= DIFFERENCES_SHARE
    if gap <= 0:
        return 1.0
    needed = max(FEWEST_WINDOWS, 1.0 / ((gap / (PLAINLY_ABOVE * spread)) ** 2 + 1.0 / windows))
    return 1.0 if not aided and needed > UNAIDED_SHARE * windows else min(1.0, needed / windows)
