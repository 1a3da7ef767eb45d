"""The replay benchmark, on runs that are made up."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from records_factory import make_record
from replay import problems
from replay.compare import (
    Replayed,
    expected_j,
    fronts_compared,
    hypervolume,
    ratio_with_interval,
    replay,
    table,
    worth_if_confirmed,
)
from replay.problems import Problem, Spec, opened
from replay.record_runs import best_of, evenly, near, plan
from replay.strategies import BEFORE, OPTUNA_DEFAULT, SHIPPED, STRATEGIES, Strategy, sampler
from replay.surrogate import Run, held_out_error
from replay.world import share_of_evaluation

from model.config import RunConfig
from model.progress import EvaluationResult
from search.record.outcome import Outcome, Role
from search.sampling.proposal import draw_at_random
from search.sampling.samplers import SamplerSection

SPEC = Spec(("+study=shakespeare_char_cpu", "space=char_cpu"), 55_744, 65, 300, 150)
STEP_J = 0.05


def end_loss(params: dict[str, Any]) -> float:
    """The true one: what the learning rate and the length make of it."""
    return (
        2.1
        - 0.14 * math.log(params["train.max_steps"] / 120)
        + 0.05 * abs(math.log(params["optimizer.lr"] / 0.01))
        - 0.1 * (params["optimizer.name"] == "muon")
    )


def made_up(index: int, seed: int, params: dict[str, Any], steps: int) -> dict[str, Any]:
    luck = random.Random(f"{index} {seed}").gauss(0, 0.005)
    end = 1.88 if index < 0 else end_loss(params) + luck
    at = [round(steps * k / 20) for k in range(1, 21)]
    step_j = 0.2 if index < 0 else STEP_J * params["model.n_layer"]
    return {
        "index": index,
        "seed": seed,
        "steps": steps,
        "parameters": 1000,
        "evaluated_tokens": 400_000,
        "step": at,
        "loss": [end + 1.2 * (1 - step / steps) for step in at],
        "loss_stderr": [0.007] * 20,
        "params": json.dumps(params, sort_keys=True),
        "train_j": step_j * steps,
        "eval_j": 8.0,
        "setup_j": 0.3,
        "train_s": step_j * steps / 4.75,
    }


@pytest.fixture(scope="module")
def problem(tmp_path_factory: pytest.TempPathFactory) -> Problem:
    space = problems.composed([*SPEC.overrides]).parsed_space()
    drawn = [draw_at_random(space, number) for number in range(40)]
    rows = [made_up(-1, 0, {}, 2000)]
    rows += [made_up(index, 0, params, params["train.max_steps"]) for index, params in enumerate(drawn)]
    rows += [made_up(0, seed, drawn[0], drawn[0]["train.max_steps"]) for seed in (1, 2)]
    file = tmp_path_factory.mktemp("replay") / "runs.parquet"
    pd.DataFrame(rows).to_parquet(file)
    return opened(SPEC, file, random_looks=60, rounds=1)


def test_recorded_runs_come_back_as_they_were(problem: Problem) -> None:
    assert problem.world.baseline.steps == 2000
    assert problem.world.baseline.params == {}


def test_the_surrogate_knows_what_it_was_shown(problem: Problem, tmp_path: Path) -> None:
    space = problem.space
    drawn = [draw_at_random(space, number) for number in range(40)]
    for params, prediction in zip(drawn, problem.world.surrogate.predict(drawn), strict=True):
        assert prediction.end_loss == pytest.approx(end_loss(params), abs=0.05)
        assert prediction.step_j == pytest.approx(STEP_J * params["model.n_layer"], rel=0.1)


def test_a_recipe_may_be_longer_than_the_space_allows(problem: Problem) -> None:
    """As the confirmation fits it: one that reached its target by luck in the longest schedule is no loss."""
    (steps,) = [entry for entry in problem.space.entries if entry.path == problems.STEPS]
    assert steps.low == problem.lengths[0]
    assert steps.high is not None
    assert steps.high in problem.lengths
    assert problem.lengths[-1] > 1.25 * steps.high
    losses = [2.0 - 0.01 * place for place in range(len(problem.lengths))]
    fit = problems._shortest(problem.lengths, losses, [1.0] * len(losses), losses[-1] + 0.001)
    assert steps.high < fit.steps <= problem.lengths[-1]
    assert fit.joules == pytest.approx(fit.steps)
    outlier = [2.0] * len(losses)
    outlier[3] = outlier[5] = outlier[6] = 1.9  # one length alone, then two in a row; longer ones miss again
    believed = problems._shortest(problem.lengths, outlier, [1.0] * len(losses), 1.95)
    assert problem.lengths[4] < believed.steps < problem.lengths[5]
    rising = [2.0] * problems.WITHIN + [1.9] + [2.0] * problems.BEYOND  # what is said beyond may be wrong
    assert problems._shortest(problem.lengths, rising, [1.0] * len(losses), 1.95).steps <= steps.high


@pytest.mark.parametrize(
    ("losses", "share"),
    [([3.0, 2.0, 1.0], 2.5), ([3.0, 1.5, 2.0], 2.0), ([1.0, 2.0, 3.0], 1.0), ([3.0, 2.5, 2.0], 3.0)],
)
def test_joules_are_counted_in_those_of_the_baseline_to_its_target(
    problem: Problem, losses: list[float], share: float
) -> None:
    """The last never gets there, and counts whole."""
    assert problem.baseline_j == pytest.approx(0.2 * 1975)  # ends at 1.88 after 2,000, 1.94 after 1,900
    run = replace(problem.world.baseline, steps=30, step=[10, 20, 30], loss=losses, train_j=3.0)
    config = replace(problem.config, target_loss=1.5)
    other = replace(problem, config=config, world=replace(problem.world, baseline=run))
    assert other.baseline_j == pytest.approx(share)


@pytest.mark.parametrize("name", list(problems.PROBLEMS))
def test_recorded_runs_are_of_the_space_that_is_searched(name: str) -> None:
    spec = problems.PROBLEMS[name]
    space = problems.composed([*spec.overrides]).parsed_space()
    runs = problems.runs_of(spec.file)
    assert [run.index for run in runs].count(-1) == 1
    assert len(runs) > spec.at_random + spec.near_best
    seeds = Counter(run.index for run in runs if 0 <= run.index < spec.at_random)
    assert sum(count >= 3 for count in seeds.values()) >= spec.at_random / 10
    for run in runs[:: len(runs) // 20]:
        assert run.step[-1] == run.steps  # to the end of its schedule
        RunConfig.from_mapping(space.config(run.params))


def test_a_study_is_judged_by_the_better_of_the_trials_that_it_would_confirm(problem: Problem) -> None:
    """The cheapest trial may owe that to a lucky seed."""
    drawn = [draw_at_random(problem.space, number) for number in range(40)]
    worths = problem.worths_j(drawn)
    lucky, better, best = (worths.index(worth) for worth in sorted(worths, reverse=True)[-3:])
    records = [
        replace(make_record(trial, energy_j=energy_j), params=drawn[place])
        for trial, (place, energy_j) in enumerate([(best, 30.0), (better, 20.0), (lucky, 10.0)], start=1)
    ]
    assert worth_if_confirmed(problem, records) == worths[better]
    missed = [replace(record, outcome=Outcome.OUT_OF_BUDGET) for record in records]
    assert worth_if_confirmed(problem, missed) == math.inf


def test_a_study_is_replayed_whole_and_the_same_each_time(problem: Problem) -> None:
    strategy = Strategy("random", sampler("random"))
    first, again = (replay(problem, strategy, seed=3, baselines=math.inf, n_trials=12) for _ in range(2))
    assert replace(first, ask_s=0.0) == replace(again, ask_s=0.0)
    assert first.runs == 11  # the baseline is a trial, and its joules are not counted
    assert first.spent > 0
    assert first.to_within[0] <= first.to_within[1]


def test_ending_dominated_runs_costs_less_and_ends_nothing_that_would_have_won(problem: Problem) -> None:
    early, whole = (
        replay(problem, Strategy("random", sampler("random"), one), seed=3, baselines=math.inf, n_trials=20)
        for one in (False, True)
    )
    assert early.spent <= whole.spent
    assert early.false_stops == 0
    assert early.final == whole.final
    assert early.front(20) == whole.front(20) != set()


def test_a_row_has_what_it_asks_for_and_nothing_of_what_ships(problem: Problem) -> None:
    rows = {row.name: row.settings(problem, 3, 90).config for row in STRATEGIES}
    assert rows[SHIPPED].sampler == problem.config.sampler
    assert rows[SHIPPED].budget.forecast == problem.config.budget.forecast
    assert rows[BEFORE].sampler == SamplerSection(name="tpe")
    assert rows[OPTUNA_DEFAULT].sampler == SamplerSection(name="tpe", multivariate=False)
    assert {rows[name].budget.forecast for name in (BEFORE, OPTUNA_DEFAULT)} == {None}
    assert problem.config.sampler.teach == "at_the_end"


def test_fronts_are_compared_over_what_both_studies_tried() -> None:
    whole = Replayed((), (), 1.2, 3.0, 2, 1, 0, 0, 0.1, feasible=((1, (5.0, 5.0)),))
    early = replace(whole, runs=3, feasible=((1, (5.0, 5.0)), (3, (1.0, 1.0))))
    (said,) = fronts_compared({"random": [early], "random, to the target": [whole]})
    assert "1 of 1 studies, of 2 trials" in said
    (said,) = fronts_compared({"random": [early], "random, to the target": [replace(whole, runs=3)]})
    assert "0 of 1 studies" in said


def test_a_study_ends_once_it_has_taken_its_joules(problem: Problem) -> None:
    study = replay(problem, Strategy("random", sampler("random")), seed=3, baselines=0.1)
    assert 0.1 <= study.spent < 0.2


def test_a_run_that_a_forecast_ended_is_judged_without_it(problem: Problem) -> None:
    """Where every run is ended as soon as may be, the best are among them."""
    hasty = Strategy("hasty", sampler("random") | {"budget.forecast": 0.999, "budget.audit": 0.0})
    study = replay(problem, hasty, seed=3, baselines=math.inf, n_trials=20)
    assert study.stops > 10
    assert study.false_stops > 0


def test_a_run_that_is_computed_stops_at_its_target_as_a_real_one(problem: Problem) -> None:
    settings = Strategy("random", sampler("random")).settings(problem, 0, 90)
    records = problems.records_of(problem, settings)
    baseline, *trials = records
    assert baseline.role is Role.BASELINE
    reached = [record for record in trials if record.outcome is Outcome.REACHED]
    assert reached
    for record in reached:
        assert record.curve[-1].loss <= problem.target_loss
        assert record.values["energy_to_target_j"] == pytest.approx(
            record.steps * STEP_J * record.config["model"]["n_layer"], rel=0.15
        )


@pytest.mark.parametrize(
    ("gap", "aided", "share"), [(0.0, False, 1.0), (-0.1, True, 1.0), (0.01, False, 1.0)]
)
def test_an_evaluation_near_the_target_is_whole(gap: float, aided: bool, share: float) -> None:
    assert share_of_evaluation(gap, 871, 0.22, aided) == share


def test_an_evaluation_far_above_the_target_ends_early_and_earlier_with_a_whole_one_to_compare() -> None:
    assert (
        share_of_evaluation(0.5, 871, 0.22, aided=True)
        <= share_of_evaluation(0.5, 871, 0.22, aided=False)
        < 0.1
    )


# ---- figures


def test_a_ratio_has_an_interval_that_holds_the_truth() -> None:
    generator = np.random.default_rng(0)
    ours = list(np.exp(generator.normal(math.log(2.0), 0.3, 20)))
    theirs = list(np.exp(generator.normal(math.log(4.0), 0.3, 20)))
    ratio, low, high = ratio_with_interval((ours, [9.0] * 20), (theirs, [9.0] * 20))
    assert low < 0.5 < high
    assert low < ratio < high < 1


def test_the_joules_of_studies_that_did_not_get_there_are_spent_all_the_same() -> None:
    values, spent = np.array([1.0, math.inf, 2.0, math.inf]), np.array([9.0, 4.0, 9.0, 5.0])
    assert expected_j(values, spent) == pytest.approx((1 + 4 + 2 + 5) / 2)


def test_where_no_study_got_there_all_that_was_spent_is_a_lower_bound() -> None:
    nowhere = ([math.inf] * 5, [20.0] * 5)
    assert expected_j(*map(np.array, nowhere)) == pytest.approx(100.0)
    assert ratio_with_interval(([10.0] * 5, [20.0] * 5), nowhere)[0] == pytest.approx(0.1)


def test_the_table_says_how_many_studies_did_not_get_there() -> None:
    study = Replayed((0.5, math.inf), (0.4, 0.5, math.inf), 1.2, 3.0, 20, 5, 4, 1, 0.1)
    text = table({"a": [study, replace(study, to_within=(0.5, 0.7))]})
    assert "(1 not)" in text
    assert "25 %" in text


def test_a_recipe_that_costs_nothing_dominates_everything() -> None:
    assert hypervolume(0.0) == 1.0
    assert hypervolume(1.0) == hypervolume(2.0) == 0.0


# ---- recording


def test_the_plan_has_a_baseline_random_runs_seeds_of_a_tenth_and_neighbours_of_the_best() -> None:
    planned = list(plan(300, 150))
    assert planned[0].index == -1
    assert len({(one.index, one.seed) for one in planned}) == len(planned)
    assert sum(not one.near for one in planned) >= 300
    seeds = [one for one in planned if one.seed > 0]
    assert len({one.index for one in seeds}) >= 30
    assert planned[-1].near


def test_evaluations_come_at_every_twentieth_of_the_schedule() -> None:
    config = RunConfig.from_mapping({"train": {"max_steps": 240}})
    wait, results = evenly(config), list[EvaluationResult]()
    step = wait(results)
    while step <= 240:
        results.append(EvaluationResult(step, 2.0, 0.01, 1.0))
        step += wait(results)
    assert [result.step for result in results] == [12 * k for k in range(1, 21)]


def test_a_neighbour_differs_from_one_of_the_best_in_a_few_settings(problem: Problem) -> None:
    best, drawn = draw_at_random(problem.space, 1), draw_at_random(problem.space, 2)
    found = near(drawn, problem.space, [best], seed=0)
    changed = [path for path in best if found.get(path) != best[path]]
    assert 0 <= len(changed) <= 5


def test_the_best_are_those_that_are_cheap_and_end_low() -> None:
    def line(index: int, loss: float, energy_j: float) -> dict[str, Any]:
        return {
            "index": index,
            "loss": [3.0] * 19 + [loss],
            "energy_j": [energy_j] * 20,
            "params": {"n": index},
        }

    lines = [line(-1, 1.5, 1.0), line(0, 1.9, 20.0), line(1, 1.9, 10.0), line(2, 2.4, 9.0)]
    assert [params["n"] for params in best_of(lines, 1.895)] == [1, 0, 2]


def test_errors_are_those_of_configurations_that_were_not_fitted(problem: Problem) -> None:
    space = problem.space
    runs = [
        Run(**{**made_up(index, 0, params, params["train.max_steps"]), "params": params})
        for index, params in enumerate(draw_at_random(space, number) for number in range(16))
    ]
    errors = held_out_error(space, runs, folds=2)
    assert 0 < errors["end loss"] < errors["spread of end losses"] * 1.5
