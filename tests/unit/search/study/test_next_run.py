"""What a study runs next, and when it ends: from values alone, without a worker, a file or a storage."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import FrozenTrial
from records_factory import make_curve, make_record

from search.config.schema import BudgetSection, NoiseSection, StudyConfig
from search.record.forecast import Forecast
from search.record.outcome import Outcome, Role
from search.record.prospect import prospect
from search.record.record import Record
from search.run.execute import RunRequest
from search.sampling.enqueued import Enqueued
from search.sampling.history import sampler_history
from search.sampling.samplers import SAMPLERS, SamplerSection
from search.space.model import Space
from search.space.parse import parse_space
from search.study.budget import counted_trials, search_limit_j, spent_j, spent_s
from search.study.next_run import (
    MAX_ATTEMPTS,
    NoMoreTrials,
    NoResult,
    SearchSettings,
    next_run,
    why_it_ends,
)
from search.study.search_settings import FirstRecipe

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

BASE = StudyConfig().run_values()
SPACE = parse_space(
    {
        "model.attention": {"type": "categorical", "choices": ["manual", "sdpa"]},
        "train.batch_size": {"type": "categorical", "choices": [4, 8, 16]},
    },
    BASE,
)
PARAMS = {"model.attention": "manual", "train.batch_size": 4}
# A run's end, as a test names it.
REACHED, MISSED, CRASHED, CUT_OFF = "reached", "missed", "crashed", "cut off"
ENDS = {
    REACHED: (Outcome.REACHED, False),
    MISSED: (Outcome.OUT_OF_BUDGET, False),
    CRASHED: (Outcome.CRASHED, False),
    CUT_OFF: (Outcome.CRASHED, True),
}


def search_settings(
    n_trials: int = 4,
    study_energy_j: float | None = None,
    target_loss: float | str = 2.3,
    noise_runs: int = 1,
    sampler: str = "random",
    space: Space = SPACE,
    why_not: Callable[[Any], str | None] = lambda config: None,
    replicates: int = 1,
) -> SearchSettings:
    config = StudyConfig(
        target_loss=target_loss,
        budget=BudgetSection(n_trials=n_trials, study_energy_j=study_energy_j, replicates=replicates),
        noise=NoiseSection(runs=noise_runs, max_runs=max(4, noise_runs)),
        sampler=SamplerSection(name=sampler, n_startup_trials=3),
    )
    config.study.name = "a study"
    config.confirm.candidates = 0
    return SearchSettings(config, space, vocab_size=65, why_not=why_not)


def ended(request: RunRequest, records: Sequence[Record], end: str, energy_j: float = 10.0) -> Record:
    """The record of a run that ended so."""
    outcome, interrupted = ENDS[end]
    number = request.trial if request.trial >= 0 else max((one.trial for one in records), default=-1) + 1
    made = make_record(number, energy_j=energy_j, outcome=outcome, steps=5000)
    return replace(
        made,
        run_id=f"run-{len(records)}",
        role=request.role,
        params=dict(request.params),
        config=dict(request.config),
        target_loss=request.target_loss,
        interrupted=interrupted,
        retry_of=request.retry_of,
        index=request.index,
        system_attrs=dict(request.system_attrs),
    )


def run_all(
    chosen: SearchSettings, ends: Sequence[str] = (), before: Sequence[Record] = (), energy_j: float = 10.0
) -> list[Record]:
    """The records of a whole study; where `ends` is over, every run reaches its target."""
    records, left = list(before), list(ends)
    for _ in range(200):
        decided = next_run(records, (), chosen)
        if decided.request is None:
            return records
        end = left.pop(0) if left else REACHED
        if decided.request.role is Role.TARGET and end == REACHED:
            end = MISSED  # it looks for a loss that nothing reaches
        records.append(ended(decided.request, records, end, energy_j))
        if why_it_ends(records[-1], records, len(before), chosen):
            return records
    raise AssertionError("the study does not end")


def roles(records: Sequence[Record]) -> list[str]:
    return [record.role for record in records]


# ---- the order of a study


def test_the_baseline_comes_first_then_trials_until_there_are_enough() -> None:
    records = run_all(search_settings(n_trials=4))
    assert roles(records) == ["baseline", "search", "search", "search"]
    assert next_run(records, (), search_settings(n_trials=4)).no_more_trials is NoMoreTrials.ALL_RUN


def test_a_target_that_is_not_known_is_looked_for_before_anything_else() -> None:
    chosen = search_settings(n_trials=2, target_loss="auto")
    first = next_run([], (), chosen).request
    assert first is not None
    assert (first.role, first.target_loss) == ("target", 0.0)
    end = make_curve(steps=5000, final_loss=2.0, power_w=1.0, seconds=1.0)
    found = replace(ended(first, [], MISSED), curve=end, steps=5000, config={"train": {"max_steps": 5000}})
    second = next_run([found], (), chosen).request
    assert second is not None
    assert (second.role, second.target_loss) == ("baseline", pytest.approx(2.01))


def test_the_baseline_runs_again_at_the_end_where_its_noise_is_asked_for() -> None:
    records = run_all(search_settings(n_trials=3, noise_runs=2))
    assert roles(records) == ["baseline", "search", "search", "baseline"]
    assert records[-1].retry_of is None


def test_a_space_whose_every_configuration_was_tried_ends_the_study() -> None:
    records = run_all(search_settings(n_trials=100))
    assert len(records) == 1 + 2 * 3
    assert next_run(records, (), search_settings(n_trials=100)).no_more_trials is NoMoreTrials.SPACE_EXHAUSTED


def test_what_cannot_run_here_is_not_tried() -> None:
    def why_not(config: Any) -> str | None:
        return "too large" if config["train"]["batch_size"] == 16 else None

    records = run_all(search_settings(n_trials=100, why_not=why_not))
    assert {record.params["train.batch_size"] for record in records if record.role is Role.SEARCH} == {4, 8}


# ---- interruptions and failures


def test_an_interrupted_configuration_is_tried_again_with_the_same_index_and_seed() -> None:
    records = run_all(search_settings(n_trials=4), [REACHED, CUT_OFF])
    first, second = records[1], records[2]
    assert (second.params, second.config, second.index) == (first.params, first.config, first.index)
    assert second.retry_of == first.trial


def test_a_configuration_is_given_up_after_so_many_interruptions() -> None:
    records = run_all(search_settings(n_trials=8), [REACHED, *[CUT_OFF] * MAX_ATTEMPTS])
    attempts = [record for record in records if record.interrupted]
    assert len(attempts) == MAX_ATTEMPTS
    assert records[1 + MAX_ATTEMPTS].params != attempts[0].params


def test_a_baseline_without_a_result_ends_the_study() -> None:
    chosen = search_settings()
    records = run_all(chosen, [CRASHED])
    assert roles(records) == ["baseline"]
    assert why_it_ends(records[-1], records, 0, chosen) is NoResult.BASELINE_FAILED


def test_an_interrupted_baseline_is_tried_again_a_few_times() -> None:
    chosen = search_settings()
    records = run_all(chosen, [CUT_OFF] * 10)
    assert len(records) == MAX_ATTEMPTS
    assert why_it_ends(records[-1], records, 0, chosen) is NoResult.BASELINE_FAILED
    assert roles(run_all(chosen, [CUT_OFF, CUT_OFF])) == ["baseline"] * 3 + ["search"]


def test_a_baseline_that_failed_before_is_tried_anew_by_the_next_process() -> None:
    records = run_all(search_settings(), [CUT_OFF] * 3)
    again = run_all(search_settings(n_trials=6), before=records)
    assert roles(again) == ["baseline"] * 4 + ["search"] * 2


def test_a_repeat_of_the_baseline_that_is_interrupted_too_often_ends_the_study_with_its_result() -> None:
    chosen = search_settings(n_trials=2, noise_runs=2)
    records = run_all(chosen, [REACHED, REACHED, *[CUT_OFF] * 10])
    assert roles(records) == ["baseline", "search", *["baseline"] * MAX_ATTEMPTS]
    assert why_it_ends(records[-1], records, 0, chosen) is NoResult.INTERRUPTED_TOO_OFTEN


def test_a_target_that_cannot_be_found_ends_the_study() -> None:
    chosen = search_settings(target_loss="auto")
    records = run_all(chosen, [MISSED])  # not at the end of its schedule, so it says nothing
    assert why_it_ends(records[-1], records, 0, chosen) is NoResult.TARGET_NOT_FOUND


def test_a_trial_that_failed_ends_nothing() -> None:
    records = run_all(search_settings(n_trials=4), [REACHED, CRASHED, CRASHED, MISSED])
    assert roles(records) == ["baseline", "search", "search", "search"]


# ---- the energy budget


def test_the_energy_budget_ends_the_trials_and_bounds_each_run() -> None:
    each_j = spent_j(run_all(search_settings(n_trials=1)))
    chosen = search_settings(n_trials=100, study_energy_j=3.5 * each_j)
    records = run_all(chosen)
    assert [record.trial for record in records] == [0, 1, 2, 3]
    assert next_run(records, (), chosen).no_more_trials is NoMoreTrials.BUDGET_SPENT
    request = next_run(records[:3], (), chosen).request
    assert request is not None
    assert request.limits.energy_j == pytest.approx(0.5 * each_j)


def test_a_run_in_which_the_studys_joules_ran_out_is_tried_again_when_there_are_more() -> None:
    chosen = search_settings(n_trials=9)
    records = with_one_cut_short(chosen)
    cut = records[-1]
    request = next_run(records, (), chosen).request
    assert request is not None
    assert (request.params, request.config, request.index) == (cut.params, cut.config, cut.index)
    assert request.retry_of == cut.trial
    after = next_run([*records, ended(request, records, REACHED)], (), chosen).request
    assert after is not None
    assert after.index == cut.index + 1


def test_such_a_run_teaches_the_sampler_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = search_settings(n_trials=9)
    records = with_one_cut_short(chosen)
    records.append(ended(next_run(records, (), chosen).request, records, REACHED))  # type: ignore[arg-type]
    taught: list[int] = []

    def noted(lessons: Sequence[Record], *rest: Any) -> list[FrozenTrial]:
        taught.extend(one.trial for one in lessons if one.outcome.completes)
        return sampler_history(lessons, *rest)

    monkeypatch.setattr("search.study.next_run.sampler_history", noted)
    next_run(records, (), chosen)
    assert taught == [0, 1, 2, 4]


@pytest.mark.parametrize("own", ["run_energy_j", "run_time_s", "run_tokens"])
def test_a_run_that_its_own_budget_ends_is_not_tried_again(own: str) -> None:
    chosen = search_settings(n_trials=9)
    setattr(chosen.config.budget, own, 1)
    records = with_one_cut_short(chosen)
    request = next_run(records, (), chosen).request
    assert request is not None
    assert request.index == records[-1].index + 1


def with_one_cut_short(chosen: SearchSettings) -> list[Record]:
    """The baseline, two trials, and one that had to stop in the middle of its schedule."""
    records = run_all(search_settings(n_trials=3))
    request = next_run(records, (), chosen).request
    assert request is not None
    return [*records, replace(ended(request, records, MISSED), steps=40)]


def test_one_more_run_of_the_baseline_is_kept_for() -> None:
    chosen = search_settings(n_trials=100, study_energy_j=60.0, noise_runs=2)
    records = run_all(chosen)
    assert roles(records)[-1] == "baseline"
    assert spent_j(records) <= 60.0 + records[-1].gross_energy_j  # type: ignore[operator]
    assert search_limit_j(records[:1], chosen.config) == pytest.approx(60.0 - spent_j(records[:1]))


def test_a_baseline_that_costs_more_than_a_quarter_of_the_budget_is_not_kept_for() -> None:
    chosen = search_settings(study_energy_j=30.0, noise_runs=2)
    baseline = run_all(chosen)[:1]
    assert search_limit_j(baseline, chosen.config) == 30.0


# ---- the other budgets


def test_the_time_budget_ends_the_trials_by_the_seconds_of_all_runs() -> None:
    chosen = search_settings(n_trials=100)
    each_s = spent_s(run_all(search_settings(n_trials=1)))
    chosen.config.budget.study_time_s = 3.5 * each_s
    records = run_all(chosen)
    assert len(records) == 4
    assert next_run(records, (), chosen).no_more_trials is NoMoreTrials.TIME_SPENT


WIDE = parse_space({"train.batch_size": {"type": "int", "low": 1, "high": 200}}, BASE)


def test_a_search_ends_where_one_more_trial_is_expected_to_cost_more_than_it_saves() -> None:
    chosen = search_settings(n_trials=100, space=WIDE)
    chosen.config.budget.uses = 10.0
    records = run_all(chosen)
    expected = prospect(records)
    assert expected is not None
    assert expected.uses_to_pay > 10.0
    assert next_run(records, (), chosen).no_more_trials is NoMoreTrials.NOT_WORTH
    before = prospect(records[:-1])
    assert before is None or before.uses_to_pay <= 10.0
    chosen.config.budget.uses = 1.01 * expected.uses_to_pay
    assert next_run(records, (), chosen).request is not None


def test_a_trial_that_somebody_enqueued_runs_whatever_is_expected_of_it() -> None:
    chosen = search_settings(n_trials=100, space=WIDE)
    chosen.config.budget.uses = 10.0
    records = run_all(chosen)
    assert next_run(records, [Enqueued(50, {"train.batch_size": 200})], chosen).request is not None


# ---- enqueued trials


def test_an_enqueued_trial_runs_before_what_the_sampler_proposes() -> None:
    chosen = search_settings()
    baseline = run_all(chosen)[:1]
    decided = next_run(baseline, [Enqueued(7, PARAMS)], chosen)
    assert decided.request is not None
    assert (decided.request.trial, dict(decided.request.params)) == (7, PARAMS)
    assert decided.refusals == ()


def test_what_an_enqueued_trial_leaves_open_the_sampler_chooses() -> None:
    chosen = search_settings()
    baseline = run_all(chosen)[:1]
    request = next_run(baseline, [Enqueued(7, {"train.batch_size": 16})], chosen).request
    assert request is not None
    assert request.params["train.batch_size"] == 16
    assert set(request.params) == set(PARAMS)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"train.batch_sizes": 4}, "did you mean train.batch_size?"),
        (PARAMS | {"train.batch_size": 5}, "must be one of"),
        (PARAMS | {"train.batch_size": 16}, "too large"),
        ({"train.batch_size": 16}, "no configuration of the space with these values is left"),
    ],
)
def test_an_enqueued_trial_that_cannot_run_is_refused_and_the_next_one_runs(
    params: dict[str, Any], words: str
) -> None:
    def why_not(config: Any) -> str | None:
        return "too large" if config["train"]["batch_size"] == 16 else None

    chosen = search_settings(why_not=why_not)
    baseline = run_all(chosen)[:1]
    decided = next_run(baseline, [Enqueued(3, params), Enqueued(4, PARAMS)], chosen)
    (refusal,) = decided.refusals
    assert refusal.enqueued.number == 3
    assert words in refusal.reason
    assert decided.request is not None
    assert decided.request.trial == 4


def test_an_enqueued_trial_that_has_run_already_names_the_run() -> None:
    chosen = search_settings(n_trials=9)
    records = run_all(search_settings(n_trials=2))
    (refusal,) = next_run(records, [Enqueued(3, records[1].params)], chosen).refusals
    assert refusal.reason == "trial 1 has this configuration already"


def test_no_enqueued_trial_is_looked_at_before_the_baseline_is_done() -> None:
    decided = next_run([], [Enqueued(0, {"nonsense": 1})], search_settings())
    assert decided.request is not None
    assert (decided.request.role, decided.refusals) == ("baseline", ())


# ---- forecasts


def test_trials_have_a_forecast_where_the_study_asks_for_it_and_the_baseline_never() -> None:
    chosen = search_settings()
    chosen.config.budget.forecast = None
    assert forecasts_of(chosen) == [None] * 4
    chosen.config.budget.forecast = 0.02
    baseline, *trials = forecasts_of(chosen)
    assert baseline is None
    assert [forecast.chance for forecast in trials if forecast is not None] == [0.02] * 3


def test_about_one_trial_in_ten_is_audited() -> None:
    chosen = search_settings(n_trials=40, space=WIDE)
    chosen.config.budget.forecast = 0.02
    audits = [forecast.audit for forecast in forecasts_of(chosen) if forecast is not None]
    assert 1 <= sum(audits) <= 10
    chosen.config.budget.audit = 1.0
    assert all(forecast.audit for forecast in forecasts_of(chosen) if forecast is not None)


def forecasts_of(chosen: SearchSettings) -> list[Forecast | None]:
    """What each run of the study is given."""
    records, found = list[Record](), list[Forecast | None]()
    while (request := next_run(records, (), chosen).request) is not None:
        found.append(request.forecast)
        records.append(ended(request, records, REACHED))
    return found


# ---- recipes that are known


def recipe(name: str, **train: Any) -> FirstRecipe:
    return FirstRecipe(name, {**BASE, "train": {**BASE["train"], **train}})


def test_known_recipes_run_right_after_the_baseline_in_their_order() -> None:
    chosen = replace(search_settings(), first=(recipe("a", batch_size=8), recipe("b", max_steps=77)))
    records = run_all(chosen)
    assert records[1].config["train"]["batch_size"] == 8
    assert records[2].config["train"]["max_steps"] == 77
    assert roles(records) == ["baseline", "search", "search", "search"]


def test_a_known_recipe_has_parameters_only_where_it_is_a_point_of_the_space() -> None:
    chosen = replace(search_settings(), first=(recipe("a", batch_size=8), recipe("b", max_steps=77)))
    records = run_all(chosen)
    assert records[1].params == {"model.attention": BASE["model"]["attention"], "train.batch_size": 8}
    assert records[2].params == {}


def test_a_known_recipe_gets_a_seed_of_the_study_and_runs_once() -> None:
    chosen = replace(search_settings(), first=(recipe("a", batch_size=8), recipe("the same", batch_size=8)))
    records = run_all(chosen)
    keys = [chosen.key_of(record.config) for record in records]
    assert len(set(keys)) == len(keys)
    assert records[1].config["seed"] != chosen.config.seed


def test_a_known_recipe_that_was_interrupted_is_tried_again_as_it_was() -> None:
    chosen = replace(search_settings(), first=(recipe("b", max_steps=77),))
    records = run_all(chosen, [REACHED, CUT_OFF, REACHED])
    assert [record.config["train"]["max_steps"] for record in records[1:3]] == [77, 77]
    assert records[1].config["seed"] == records[2].config["seed"]


def test_a_known_recipe_that_cannot_be_trained_here_is_passed_over() -> None:
    def why_not(config: Any) -> str | None:
        return "too large" if config["train"]["batch_size"] == 8 else None

    chosen = search_settings(why_not=why_not)
    chosen = replace(chosen, first=(recipe("a", batch_size=8), recipe("b", max_steps=77)))
    assert run_all(chosen)[1].config["train"]["max_steps"] == 77


def lengths_tried(*gaps: float) -> list[int]:
    """Of a known recipe of 77 steps, whose runs end so far from the target at the end of their schedules."""
    chosen = replace(search_settings(n_trials=8), first=(recipe("b", max_steps=77, batch_size=8),))
    records, found = run_all(chosen)[:1], []
    for gap in gaps:
        request = next_run(records, (), chosen).request
        assert request is not None
        found.append(steps := request.config["train"]["max_steps"])
        run = ended(request, records, REACHED if gap <= 0 else MISSED)
        records.append(replace(run, loss_gap=gap, steps=steps))
    return found


def test_a_known_recipe_that_just_misses_is_tried_again_for_as_long_as_it_needs() -> None:
    first, longer, then = lengths_tried(0.03, 0.002, 0.5)
    assert first == 77
    assert 77 * math.exp(0.03 / 0.14) < longer < 77 * math.exp(0.06 / 0.14)
    assert longer < then < 1.15 * longer


@pytest.mark.parametrize(
    "gaps", [(0.3, 0.0), (-0.01, 0.0), (0.02, 0.02, 0.02, 0.0)], ids=["far away", "reached", "often enough"]
)
def test_a_known_recipe_is_not_tried_longer_without_end(gaps: tuple[float, ...]) -> None:
    own = BASE["train"]["max_steps"]
    assert lengths_tried(*gaps)[-1] == own  # what follows is the sampler's


def test_trials_of_other_studies_teach_the_sampler_and_may_be_tried_here() -> None:
    chosen = search_settings(n_trials=6, sampler="tpe")
    others = run_all(search_settings(n_trials=6))[1:]
    records = run_all(replace(chosen, prior=tuple(others)))
    alone = run_all(chosen)
    assert len(records) == len(alone)
    assert [one.params for one in records] != [one.params for one in alone]


# ---- replicates


def test_a_leader_runs_again_with_another_seed_and_to_its_end() -> None:
    chosen = search_settings(n_trials=8, replicates=2)
    chosen.config.budget.replicates_share = 1.0
    records = run_all(chosen)[:2]
    request = next_run(records, (), chosen).request
    assert request is not None
    first = records[1]
    assert chosen.key_of(request.config) == chosen.key_of_run(first)
    assert (request.params, request.rivals, request.forecast) == (first.params, (), None)
    assert request.config["seed"] != first.config["seed"]
    assert request.index != first.index


def test_a_replicate_that_was_cut_off_is_tried_again_as_it_was() -> None:
    chosen = search_settings(n_trials=8, replicates=2)
    chosen.config.budget.replicates_share = 1.0
    records = run_all(chosen, [REACHED, REACHED, CUT_OFF, REACHED])
    assert records[2].interrupted
    assert (records[3].config, records[3].index) == (records[2].config, records[2].index)
    assert next_run(records[:3], (), chosen).request.rivals == ()  # type: ignore[union-attr]


def test_runs_that_go_on_count_among_a_leaders_runs() -> None:
    chosen = search_settings(n_trials=8, replicates=3)
    chosen.config.budget.replicates_share = 1.0
    records = run_all(chosen)[:2]
    leader = chosen.key_of_run(records[1])
    assert [chosen.key_of(one.config) == leader for one in going(records, chosen, 3)] == [True, True, False]


# ---- several runs at once


def going(records: Sequence[Record], chosen: SearchSettings, count: int) -> list[RunRequest]:
    """So many runs, or as many as may go on at once."""
    running: list[RunRequest] = []
    while len(running) < count:
        decided = next_run(records, (), chosen, running)
        if decided.request is None:
            assert decided.waits
            break
        running.append(decided.request)
    return running


@pytest.mark.parametrize("target_loss", [2.3, "auto"])
def test_the_baseline_runs_alone(target_loss: float | str) -> None:
    chosen = search_settings(target_loss=target_loss)
    assert [one.role for one in going([], chosen, 3)] == ["target" if target_loss == "auto" else "baseline"]


@settings(max_examples=25, deadline=None)
@given(
    sampler=st.sampled_from(["random", "tpe", "cei", "qmc", "grid"]),
    slots=st.integers(2, 4),
    choose=st.lists(st.integers(0, 3), min_size=12, max_size=12),
    ends=st.lists(st.sampled_from(sorted(ENDS)), min_size=12, max_size=12),
)
def test_runs_that_go_on_at_once_try_nothing_twice_and_no_more_than_the_budget(
    sampler: str, slots: int, choose: list[int], ends: list[str]
) -> None:
    chosen = search_settings(n_trials=6, sampler=sampler, noise_runs=2)
    records = run_all(chosen)[:1]
    running: list[RunRequest] = []
    for place, end in zip(choose, ends, strict=True):
        while len(running) < slots and (request := next_run(records, (), chosen, running).request):
            if request.role is not Role.SEARCH:
                assert not running
                assert counted_trials(records) == 6 or next_run(records, (), chosen).no_more_trials
            running.append(request)
        keys = [chosen.key_of(request.config) for request in running]
        done = {chosen.key_of(record.config) for record in records if not record.interrupted}
        assert len(set(keys)) == len(keys)
        assert records[-1].role is Role.BASELINE or not set(keys) & done or running[0].role is not Role.SEARCH
        assert len({request.index for request in running}) == len(running)
        assert counted_trials(records) + len(running) <= 6 or running[0].role is not Role.SEARCH
        if not running:
            break
        records.append(ended(running.pop(place % len(running)), records, end))


def test_a_configuration_that_was_cut_off_is_not_begun_twice_at_once() -> None:
    chosen = search_settings(n_trials=4)
    records = run_all(chosen, [REACHED, CUT_OFF])[:2]
    first, second = going(records, chosen, 2)
    assert (first.index, first.params) == (records[1].index, records[1].params)
    assert second.params != first.params
    assert second.index != first.index


def test_a_recipe_that_runs_is_not_begun_again_and_the_next_one_is() -> None:
    chosen = replace(search_settings(), first=(recipe("a", batch_size=8), recipe("b", max_steps=77)))
    first, second = going(run_all(chosen)[:1], chosen, 2)
    assert first.config["train"]["batch_size"] == 8
    assert second.config["train"]["max_steps"] == 77


# ---- what holds of every study

some_ends = st.lists(st.sampled_from(sorted(ENDS)), max_size=10)


@settings(max_examples=30, deadline=None)
@given(ends=some_ends, n_trials=st.integers(1, 8), noise_runs=st.integers(1, 3))
def test_every_study_ends_within_its_trials_and_tries_nothing_twice(
    ends: list[str], n_trials: int, noise_runs: int
) -> None:
    records = run_all(search_settings(n_trials=n_trials, noise_runs=noise_runs), ends)
    assert counted_trials(records) <= n_trials or counted_trials(records) <= MAX_ATTEMPTS
    first_attempts = [record for record in records if record.role is Role.SEARCH and record.retry_of is None]
    assert len({str(record.params) for record in first_attempts}) == len(first_attempts)
    indices = [record.index for record in records if record.role is Role.SEARCH]
    assert all(indices.count(index) <= MAX_ATTEMPTS for index in indices)


@settings(max_examples=40, deadline=None)
@given(
    ends=some_ends,
    n_trials=st.integers(1, 12),
    replicates=st.integers(1, 4),
    share=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
)
def test_no_recipe_runs_more_often_than_it_may_and_the_study_ends(
    ends: list[str], n_trials: int, replicates: int, share: float
) -> None:
    chosen = search_settings(n_trials=n_trials, replicates=replicates)
    chosen.config.budget.replicates_share = share
    records = run_all(chosen, ends)
    done = [record for record in records if record.role is Role.SEARCH and not record.interrupted]
    runs = Counter(chosen.key_of_run(record) for record in done)
    assert max(runs.values(), default=0) <= replicates
    assert counted_trials(records) <= max(n_trials, MAX_ATTEMPTS)


@settings(max_examples=15, deadline=None)
@given(ends=some_ends, sampler=st.sampled_from(sorted(SAMPLERS)), at=st.integers(0, 12))
def test_a_study_that_was_killed_anywhere_continues_as_it_would_have(
    ends: list[str], sampler: str, at: int
) -> None:
    """Its records are all that it needs, as they are read again from their file."""
    chosen = search_settings(n_trials=5, sampler=sampler)
    records = run_all(chosen, ends)[:at]
    read = [Record.from_dict(record.to_dict()) for record in records]
    assert next_run(read, (), chosen) == next_run(records, (), chosen)


@settings(max_examples=15, deadline=None)
@given(ends=some_ends, few=st.integers(1, 4), more=st.integers(0, 4))
def test_more_trials_begin_with_those_of_fewer(ends: list[str], few: int, more: int) -> None:
    wanted = run_all(search_settings(n_trials=few + more), ends)
    first = run_all(search_settings(n_trials=few), ends)
    assert [one.params for one in wanted[: len(first)]] == [one.params for one in first]


@settings(max_examples=20, deadline=None)
@given(limit_j=st.floats(1.0, 120.0), energy_j=st.floats(0.5, 20.0), noise_runs=st.integers(1, 3))
def test_no_trial_begins_once_the_budget_is_spent(limit_j: float, energy_j: float, noise_runs: int) -> None:
    chosen = search_settings(n_trials=50, study_energy_j=limit_j, noise_runs=noise_runs)
    records = run_all(chosen, energy_j=energy_j)
    for count, record in enumerate(records):
        if record.role is Role.SEARCH:
            assert spent_j(records[:count]) < limit_j


# ---- rivals


@pytest.mark.parametrize(("setting", "margin"), [("auto", 0.1), (0, 0.0), (0.3, 0.3)])
def test_a_trial_has_the_finished_ones_as_rivals_with_the_margin_and_a_baseline_has_none(
    setting: float | str, margin: float
) -> None:
    chosen = search_settings(n_trials=4)
    chosen.config.budget.rival_margin = setting
    records: list[Record] = []
    for _ in range(3):
        request = next_run(records, (), chosen).request
        assert request is not None
        assert [(rival.trial, rival.margin) for rival in request.rivals] == [
            (record.trial, margin) for record in records
        ]
        records.append(ended(request, records, REACHED))
