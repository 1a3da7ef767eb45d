"""The forecast of a run's end, on the runs that were recorded for the replay benchmark."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from records_factory import make_record
from replay.composing import composed
from replay.problems import PROBLEMS, runs_of
from replay.surrogate import Run

from search.record.crossing import CurvePoint
from search.record.outcome import Outcome, Role
from search.record.record import Record
from search.sampling.forecast import expected_end, learnt_forecast
from search.space.model import Space

TARGET = 1.905
# Runs that end farther above the target than this are of no use to a search.
NEAR = 0.25


def as_record(run: Run, space: Space, until: float = 1.0) -> Record:
    """As a study records it, ended after its evaluation at `until` of its schedule, or the one before."""
    points = tuple(
        CurvePoint(step, step, loss, stderr, 0.1 * step, 0.1 * step)
        for step, loss, stderr in zip(run.step, run.loss, run.loss_stderr, strict=True)
        if step <= until * run.steps
    )
    made = make_record(run.index, outcome=Outcome.OUT_OF_BUDGET, role=Role.SEARCH)
    return replace(
        made,
        config=space.config(dict(run.params)),
        curve=points,
        steps=points[-1].step,
        target_loss=TARGET,
        crossing=None,
    )


def cools_down_in(run: Run) -> float:
    """The share of the schedule in which the rate falls."""
    if run.params["schedule.name"] == "linear":
        return 1.0
    return float(run.params["schedule.cooldown_fraction"])


@pytest.fixture(scope="module")
def recorded() -> tuple[Space, list[Run]]:
    space: Any = composed([*PROBLEMS["char_cpu"].overrides]).parsed_space()
    runs = [run for run in runs_of(PROBLEMS["char_cpu"].file) if run.index >= 0]
    return space, [run for run in runs if run.loss[-1] <= TARGET + NEAR]


@pytest.mark.parametrize("until", [0.45, 0.6])
def test_short_cool_downs_teach_what_a_long_one_still_brings(
    recorded: tuple[Space, list[Run]], until: float
) -> None:
    """A study that has settled on short cool-downs must not end linear schedules too soon."""
    space, runs = recorded
    short = [run for run in runs if cools_down_in(run) < 0.6]
    forecast = learnt_forecast([as_record(run, space) for run in short])
    assert forecast.runs == 60

    def errors(chosen: list[Run]) -> list[float]:
        ends = [(run, expected_end(as_record(run, space, until), forecast)) for run in chosen]
        return [end - run.loss[-1] for run, end in ends if end is not None]

    linear = errors([run for run in runs if run.params["schedule.name"] == "linear"])
    assert len(linear) > 100
    standard_error = float(np.std(linear)) / math.sqrt(len(linear))
    print(f"linear schedules, forecast at {until:.0%}: {np.mean(linear):+.4f} +- {standard_error:.4f} nats")
    assert abs(float(np.mean(linear))) < 0.015


@pytest.mark.parametrize("tenths", [3, 5, 7])
def test_runs_end_no_farther_from_their_forecast_than_it_states(
    recorded: tuple[Space, list[Run]], tenths: int
) -> None:
    """By 40 of the runs, the others are forecast. Too narrow a spread would end good ones."""
    space, runs = recorded
    order = np.random.default_rng(0).permutation(len(runs))
    forecast = learnt_forecast([as_record(runs[place], space) for place in order[:40]])
    errors, stated = [], []
    for place in order[40:]:
        run = as_record(runs[place], space)
        schedule, end = run.schedule, run.curve[-1].loss
        for point in run.curve[:-1]:
            if round(10 * schedule.share_done(point.step)) == tenths:
                left = schedule.left(point.step, schedule.steps)
                errors.append(end - forecast.loss(point.loss, left))
                stated.append(math.hypot(forecast.deviation(point.loss, left), point.loss_stderr))
    error, deviation = (float(np.sqrt(np.mean(np.square(one)))) for one in (errors, stated))
    print(f"at 0.{tenths} of the summed rates: {error:.4f} nats off, {deviation:.4f} stated")
    assert error < 1.1 * deviation
