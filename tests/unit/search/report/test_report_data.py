from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any

import jsonschema
import numpy as np
import pytest
from records_factory import (
    METER,
    NVML,
    PROVENANCE,
    ROOFLINE,
    make_lookup_study,
    make_metered_study,
    make_misranked_study,
    make_record,
    make_study,
    read_beside,
    side,
    study_config,
    unmeasured,
)

from search.energy.agreement import Verdict
from search.record.record import CountedPhases, Kind, MeterInfo, Outcome, Record
from search.report import words
from search.report.data import ReportError, Saving, StudyView, study_view
from search.report.headline import headline
from search.report.importance import MIN_TRIALS, parameter_importance
from search.report.meters import Comparison
from search.report.schema import summary_schema
from search.report.summary_json import summary
from search.report.table import runs_table, trials_frame
from search.report.words import nats, quantity, ratio, redacted


def again(trial: int, energy_j: float, time_s: float = 20.0) -> Record:
    """One more run of the baseline."""
    return make_record(trial, energy_j=energy_j, time_s=time_s, role="baseline")


def view_of(*records: Record, names: tuple[str, ...] = ()) -> StudyView:
    return study_view(records, study_config(*names))


def front_trials(view: StudyView) -> list[int]:
    return [record.trial for record in view.front]


def only_builtin(value: Any) -> bool:
    if isinstance(value, dict):
        return all(type(key) is str and only_builtin(item) for key, item in value.items())
    if isinstance(value, list):
        return all(only_builtin(item) for item in value)
    return value is None or type(value) in (bool, int, float, str)


BASELINE = make_record(0, energy_j=60.0, time_s=20.0)
SHORT_BASELINE = make_record(0, energy_j=60.0, time_s=20.0, outcome=Outcome.OUT_OF_BUDGET)
CHEAP = make_record(1, energy_j=12.0, time_s=5.0)
STUDIES = {
    "whole": make_study(),
    "nothing yet": [],
    "baseline only": [BASELINE],
    "no baseline": [CHEAP],
    "baseline short of the target": [SHORT_BASELINE, CHEAP],
    "nothing reached": [SHORT_BASELINE, make_record(2, outcome=Outcome.DOMINATED)],
    "nothing measured": [unmeasured(3, "the counter stood still")],
    "killed baseline": [make_record(0, outcome=Outcome.CRASHED, interrupted=True)],
    "no provenance": [dataclasses.replace(CHEAP, provenance={})],
    "lookup-like trials": make_lookup_study(),
    "a modelled meter beside a measured one": make_metered_study(),
    "a measured meter beside a modelled one": make_misranked_study(),
    "a meter beside a single run": [read_beside(CHEAP, NVML, 3.0)],
    "a meter beside it that could not be read": [read_beside(CHEAP, NVML, 3.0, counted_energy_j=None)],
}


@pytest.mark.parametrize("records", STUDIES.values(), ids=STUDIES)
def test_every_study_has_a_summary_of_the_schema_in_strict_json_and_builtin_types(
    records: list[Record],
) -> None:
    content = summary(study_view(records, study_config()))
    jsonschema.validate(content, summary_schema(closed=True))
    assert only_builtin(content)
    assert json.loads(json.dumps(content, allow_nan=False)) == content


def test_the_cheapest_row_of_the_csv_reached_the_target() -> None:
    """What a run had spent when it missed is no cost of reaching: a reader who takes the minimum is right."""
    records = [
        make_record(0),
        make_record(1, energy_j=9.0),
        make_record(2, energy_j=1.0, outcome=Outcome.DOMINATED),
    ]
    frame = trials_frame(view_of(*records))
    cheapest = frame.loc[frame.energy_to_target_j.astype(float).idxmin()]
    assert cheapest.trial == 1
    assert math.isnan(frame.energy_to_target_j.astype(float)[2])
    assert frame.counted_energy_j[2] == 1.0


def test_a_baseline_that_fell_short_has_spent_and_has_no_value() -> None:
    content = summary(view_of(make_record(0, outcome=Outcome.OUT_OF_BUDGET, energy_j=50.0), make_record(1)))
    assert content["baseline"]["values"] == {}
    assert content["baseline"]["spent"]["energy_to_target_j"] == 50.0


def test_numpy_values_become_builtin_ones() -> None:
    record = dataclasses.replace(
        CHEAP,
        params={
            "optimizer.lr": np.float64(0.1),
            "model.n_layer": np.int64(2),
            "x": np.bool_(True),
            "y": math.inf,
        },
        values={"energy_to_target_j": np.float64(1.0), "time_to_target_s": np.float64(2.0)},
    )
    content = summary(view_of(record))
    assert only_builtin(content)
    assert content["front"][0]["params"] == {"optimizer.lr": 0.1, "model.n_layer": 2, "x": True, "y": "inf"}


def test_a_study_without_records_takes_its_name_and_target_from_the_configuration() -> None:
    content = summary(study_view([], study_config() | {"target_loss": 1.9}))
    assert (content["study"], content["problem"]["target_loss"]) == ("demo", 1.9)


def test_the_front_is_what_reached_the_target_and_is_not_dominated() -> None:
    assert front_trials(study_view(make_study(), study_config())) == [7, 10, 12]


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.REACHED])
def test_a_run_that_did_not_reach_the_target_is_never_on_the_front(outcome: Outcome) -> None:
    cheaper = make_record(2, energy_j=1.0, time_s=1.0, outcome=outcome)
    values = {"energy_to_target_j": 1.0, "time_to_target_s": 1.0}
    assert front_trials(view_of(CHEAP, dataclasses.replace(cheaper, values=values))) == [1]


def test_the_baseline_may_be_on_the_front() -> None:
    quick = make_record(0, energy_j=60.0, time_s=1.0)
    assert front_trials(view_of(quick, CHEAP)) == [1, 0]


def test_a_replicate_is_not_ranked_however_cheap_it_was() -> None:
    assert front_trials(view_of(CHEAP, make_record(2, energy_j=1.0, time_s=1.0, role="replicate"))) == [1]


def test_a_run_that_lacks_an_objective_is_not_ranked_and_the_notes_say_so() -> None:
    lacking = dataclasses.replace(make_record(2, energy_j=1.0), values={"energy_to_target_j": 1.0})
    view = view_of(CHEAP, lacking)
    assert front_trials(view) == [1]
    assert any("cannot rank: trial 2" in note for note in view.notes)


def test_the_objectives_of_the_configuration_decide_the_front() -> None:
    slow = make_record(2, energy_j=10.0, time_s=50.0)
    assert front_trials(view_of(CHEAP, slow)) == [2, 1]
    assert front_trials(view_of(CHEAP, slow, names=("energy_to_target_j",))) == [2]


def test_without_a_configuration_the_objectives_are_those_of_the_records() -> None:
    assert study_view([CHEAP], {}).objectives == ("energy_to_target_j", "time_to_target_s")


def test_the_baseline_is_the_run_that_completed_and_not_the_one_that_was_killed_before_it() -> None:
    killed = make_record(0, outcome=Outcome.CRASHED, interrupted=True)
    crashed = make_record(0, outcome=Outcome.CRASHED)
    assert view_of(killed, crashed, BASELINE).baseline is BASELINE
    assert view_of(killed, crashed).baseline is crashed
    assert view_of(killed).baseline is None


def test_the_search_cost_counts_killed_and_crashed_runs_and_the_baseline() -> None:
    killed = make_record(0, energy_j=7.0, outcome=Outcome.CRASHED, interrupted=True)
    view = view_of(killed, BASELINE, CHEAP)
    gross = [record.gross_energy_j for record in (killed, BASELINE, CHEAP)]
    assert view.cost.energy_j == math.fsum(g for g in gross if g is not None)
    assert view.cost.by_outcome_j == {
        "REACHED": math.fsum(g for g in gross[1:] if g is not None),
        "CRASHED": killed.gross_energy_j,
    }
    assert view.cost.interrupted_runs == 1


def test_an_unknown_energy_is_counted_as_unknown_and_never_as_zero() -> None:
    cost = view_of(CHEAP, unmeasured(2, "stood still")).cost
    assert cost.runs_without_energy == 1
    assert cost.runs_without_time == 1
    assert cost.energy_j == CHEAP.gross_energy_j
    assert "UNMEASURED" not in cost.by_outcome_j


def test_ending_a_dominated_run_saves_at_most_the_train_joules_of_the_steps_not_taken() -> None:
    dominated = make_record(2, energy_j=10.0, steps=400, outcome=Outcome.DOMINATED, extra={"max_steps": 1000})
    assert view_of(CHEAP, dominated).cost.saved_by_stopping_j == pytest.approx(600 * 10.0 / 400)


@pytest.mark.parametrize("fields", [{"steps": 0}, {"extra": {}}, {"ledger": None}])
def test_nothing_is_saved_where_it_cannot_be_estimated(fields: dict[str, Any]) -> None:
    dominated = dataclasses.replace(make_record(2, outcome=Outcome.DOMINATED), **fields)
    assert view_of(CHEAP, dominated).cost.saved_by_stopping_j == 0.0


def test_the_search_breaks_even_after_its_energy_over_the_saving_of_one_run() -> None:
    view = view_of(BASELINE, CHEAP)
    assert view.cost.break_even_runs == pytest.approx(view.cost.energy_j / (60.0 - 12.0))


@pytest.mark.parametrize(
    "records", [[BASELINE], [CHEAP], [SHORT_BASELINE, CHEAP], [BASELINE, make_record(1, energy_j=60.0)]]
)
def test_without_a_known_saving_the_search_never_breaks_even(records: list[Record]) -> None:
    assert view_of(*records).cost.break_even_runs is None


@pytest.mark.parametrize(
    ("what", "fields"),
    [
        ("meters", {"meter": dataclasses.replace(METER, name="nvml")}),
        ("meters", {"meter": dataclasses.replace(METER, settings={"watts_per_core": 7.0})}),
        ("meters", {"meter": dataclasses.replace(METER, counted_phases=CountedPhases.GROSS)}),
        ("target losses", {"target_loss": 2.31}),
        ("data sets", {"provenance": {"data": {"sha256": "other"}}}),
    ],
)
def test_records_that_cannot_share_a_front_are_refused_in_one_line(what: str, fields: dict[str, Any]) -> None:
    with pytest.raises(ReportError, match=f"2 {what}") as caught:
        view_of(CHEAP, dataclasses.replace(CHEAP, trial=2, **fields))
    assert "\n" not in str(caught.value)


def test_the_reason_why_a_meter_was_chosen_may_differ() -> None:
    other = dataclasses.replace(CHEAP, trial=2, meter=dataclasses.replace(METER, chosen_because="asked for"))
    assert len(view_of(CHEAP, other).records) == 2


def test_the_three_accountings_differ_by_the_phases_that_they_count() -> None:
    compiled = make_record(1, energy_j=12.0, time_s=5.0, compile_j=3.0)
    accounting = view_of(BASELINE, compiled).accountings[1]
    assert accounting.energy_j[CountedPhases.COMPILE_TRAIN] == pytest.approx(12.0)
    assert accounting.energy_j[CountedPhases.TRAIN] == pytest.approx(9.0)
    assert accounting.energy_j[CountedPhases.GROSS] == compiled.gross_energy_j
    assert accounting.energy_ratio[CountedPhases.TRAIN] == pytest.approx(9.0 / 60.0)


def test_a_compile_pays_after_its_joules_over_the_train_joules_saved_per_run() -> None:
    compiled = make_record(1, energy_j=50.0, compile_j=30.0)
    assert view_of(BASELINE, compiled).accountings[1].compile_pays_after_runs == pytest.approx(
        30.0 / (60.0 - 20.0)
    )


@pytest.mark.parametrize(
    ("baseline", "candidate"),
    [
        (BASELINE, CHEAP),
        (make_record(0, energy_j=60.0, compile_j=1.0), make_record(1, compile_j=2.0)),
        (make_record(0, energy_j=3.0, time_s=9.0), make_record(1, energy_j=9.0, time_s=3.0, compile_j=2.0)),
        (SHORT_BASELINE, make_record(1, compile_j=2.0)),
    ],
    ids=["not compiled", "baseline compiled too", "nothing saved", "baseline short of the target"],
)
def test_where_a_compile_cannot_be_compared_it_has_no_pay_off(baseline: Record, candidate: Record) -> None:
    assert view_of(baseline, candidate).accountings[1].compile_pays_after_runs is None


@pytest.mark.parametrize(("ngram", "warns"), [(2.41, False), (2.30, True), (1.9, True), (None, False)])
def test_a_target_that_counting_reaches_is_noticed(ngram: float | None, warns: bool) -> None:
    provenance = PROVENANCE | {"data": PROVENANCE["data"] | {"ngram_loss": ngram}}
    view = view_of(dataclasses.replace(CHEAP, provenance=provenance))
    assert view.problem.counting_reaches_target is warns


def test_runs_on_different_hardware_are_noted_by_what_differs() -> None:
    moved = PROVENANCE | {"hardware": PROVENANCE["hardware"] | {"cpu": "EPYC 9754"}}
    notes = view_of(BASELINE, dataclasses.replace(CHEAP, provenance=moved)).notes
    assert notes == ("The runs do not share one hardware; these differ: cpu.",)


def test_uncommitted_code_is_noted() -> None:
    dirty = PROVENANCE | {"code": PROVENANCE["code"] | {"git_dirty": True}}
    assert any("uncommitted" in note for note in view_of(dataclasses.replace(CHEAP, provenance=dirty)).notes)


def test_the_headline_gives_ratios_both_numbers_and_the_kind_of_energy() -> None:
    found = headline(study_view(make_study(), study_config()))
    assert found.text == (
        "Trial 7 reached 2.30 nats with 0.21 of the baseline's energy (12.3 J against 58.1 J, estimated by "
        "cpu_time) and 0.25 of its time (4.90 s against 19.6 s)."
    )
    assert any("Not yet confirmed" in caveat for caveat in found.caveats)


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([], "No run has finished yet"),
        ([BASELINE], "Only the baseline reached 2.30 nats (60.0 J and 20.0 s, estimated by cpu_time)"),
        ([SHORT_BASELINE], "Nothing reached 2.30 nats: the closest, the baseline, came to 2.45"),
        ([unmeasured(1, "x")], "Nothing reached 2.30 nats: no run has a loss"),
        (
            [CHEAP],
            "Trial 1 reached 2.30 nats for 12.0 J and 5.00 s (estimated by cpu_time); there is no baseline",
        ),
        ([SHORT_BASELINE, CHEAP], "so the ratio of energy is at most 0.200"),
        ([SHORT_BASELINE, make_record(1, energy_j=70.0)], "which of the two costs less is not known"),
        ([BASELINE, make_record(1, energy_j=66.0)], "No trial saved energy: the cheapest, trial 1, reached"),
        ([BASELINE, make_record(1, energy_j=30.0, time_s=28.0)], "but 1.40 of its time"),
    ],
)
def test_the_headline_says_what_happened_instead(records: list[Record], says: str) -> None:
    assert says in headline(study_view(records, study_config())).text


def test_where_every_trial_was_ended_as_dominated_they_were_dearer_and_not_unable() -> None:
    trials = [make_record(n, energy_j=70.0, outcome=Outcome.DOMINATED) for n in (1, 2, 3)]
    text = headline(view_of(BASELINE, *trials, make_record(4, outcome=Outcome.OUT_OF_BUDGET))).text
    assert "nothing was saved" in text
    assert "Of 4 trials, 3 ended because the baseline had reached the target for less (dearer, not un" in text
    assert ", and 1 came to the end of its schedule" in text


def test_where_only_the_baseline_is_on_the_front_nothing_was_saved() -> None:
    text = headline(view_of(BASELINE, make_record(1, energy_j=75.0, time_s=25.0))).text
    assert text.startswith("Nothing was saved: only the baseline is on the front: the cheapest, trial 1, ")


def test_a_ratio_within_what_runs_of_the_baseline_differ_by_is_no_saving() -> None:
    runs = [again(0, 60.0), make_record(1, energy_j=58.0), again(2, 66.0), again(3, 63.0)]
    view = view_of(*runs)
    assert view.baseline is runs[3]
    assert view.saving is Saving.WITHIN_NOISE
    text = headline(view).text
    assert text.startswith(
        "No saving beyond the noise floor (± 27 % in energy, by 3 runs of the baseline): the "
    )
    assert "the cheapest, trial 1, reached 2.30 nats with 0.92 of the baseline's energy" in text
    clear = view_of(again(0, 60.0), CHEAP, again(2, 66.0), again(3, 63.0))
    assert clear.saving is Saving.SAVES
    assert any("± 27 %" in caveat and "trials 0, 2, 3" in caveat for caveat in headline(clear).caveats)


def test_the_run_that_sets_the_target_is_neither_ranked_nor_the_closest() -> None:
    sets = make_record(0, role="target", outcome=Outcome.OUT_OF_BUDGET, target_loss=0.0, final_loss=2.2)
    view = view_of(sets, again(1, 60.0), make_record(2, energy_j=12.0))
    assert view.problem.target_loss == 2.3
    assert view.baseline is view.records[1]
    assert view.closest is not sets
    assert view.cost.runs == 3
    assert "sets the target" in words.name_of(view, sets)


def counted_first(trial: int, parameters: int, energy_j: float, role: str = "search") -> Record:
    """A run of a study that ranks by parameters, then by energy."""
    values = {"parameters": float(parameters), "energy_to_target_j": energy_j}
    return make_record(trial, energy_j=energy_j, role=role, values=values, spent=values)


def by_parameters(*records: Record) -> StudyView:
    return view_of(*records, names=("parameters", "energy_to_target_j"))


def test_where_the_first_objective_is_equal_the_next_decides() -> None:
    runs = [counted_first(n, 16_480, joules, "baseline") for n, joules in ((0, 42.0), (4, 27.0), (5, 28.0))]
    view = by_parameters(*runs, counted_first(1, 16_480, 30.0), counted_first(2, 16_480, 26.0))
    assert view.baseline is runs[2]
    assert view.best is not None
    assert view.best.trial == 2
    assert view.decided_by == "energy_to_target_j"
    assert view.saving is Saving.WITHIN_NOISE
    assert headline(view).text.startswith("No saving beyond the noise floor (a factor of ")
    assert "in energy, by 3 runs" in headline(view).text
    assert not any("Not yet confirmed" in caveat for caveat in headline(view).caveats)


def test_a_trial_equal_to_the_baseline_in_everything_saved_nothing() -> None:
    runs = [counted_first(n, 16_480, 30.0, "baseline") for n in (0, 2)]
    view = by_parameters(*runs, counted_first(1, 16_480, 30.0))
    assert view.saving is Saving.NOTHING
    assert any("Noise floor: none" in caveat for caveat in headline(view).caveats)


def test_counts_are_named_and_have_no_meter() -> None:
    only = ("parameters",)
    alone = headline(view_of(counted_first(0, 16_480, 30.0, "baseline"), names=only)).text
    assert alone.startswith("Only the baseline reached 2.30 nats (16,480 parameters): nothing was saved.")
    without = headline(view_of(counted_first(1, 16_480, 30.0), names=only)).text
    assert "for 16,480 parameters; there is no baseline" in without


def test_a_further_objective_within_its_noise_says_so() -> None:
    runs = [again(0, 60.0, time_s=20.0), again(2, 60.1, time_s=30.0), again(3, 60.2, time_s=11.0)]
    found = headline(view_of(*runs, make_record(1, energy_j=12.0, time_s=10.0)))
    assert "(10.0 s against 30.0 s, within noise)" in found.text
    assert any("of its energy and a factor of" in caveat for caveat in found.caveats)


def test_the_row_of_the_run_that_finds_the_target_has_no_target_and_no_gap() -> None:
    finds = make_record(0, role="target", outcome=Outcome.OUT_OF_BUDGET, target_loss=0.0, final_loss=2.2)
    view = view_of(finds, again(1, 60.0))
    frame = trials_frame(view)
    assert frame["target_loss"].dropna().tolist() == [2.3]
    assert frame["loss_gap"].count() == 1
    columns, rows = runs_table(view)
    energy = next(n for n, column in enumerate(columns) if column.heading.startswith("energy"))
    assert [row.cells[energy].text for row in rows] == ["", "60.0"]


def test_the_least_of_a_count_is_not_that_of_a_run_that_missed() -> None:
    missed = make_record(1, outcome=Outcome.OUT_OF_BUDGET, parameters=100, spent={"parameters": 100.0})
    reached = make_record(2, parameters=200, values={"parameters": 200.0}, spent={"parameters": 200.0})
    ranked = trials_frame(view_of(missed, reached, names=("parameters",)))
    assert ranked.loc[ranked["parameters"].idxmin(), "trial"] == 2
    assert ranked["run_parameters"].tolist() == [100, 200]
    assert trials_frame(view_of(missed, reached))["parameters"].tolist() == [100, 200]


def test_where_nothing_reached_the_target_the_page_too_says_what_to_type() -> None:
    (caveat,) = headline(view_of(SHORT_BASELINE)).caveats
    assert "type study.name=OTHER target_loss=2.46" in caveat


def test_without_a_second_run_of_the_baseline_the_noise_floor_is_not_known() -> None:
    caveats = headline(view_of(BASELINE, CHEAP)).caveats
    assert any("The noise floor is not known: the baseline ran once" in caveat for caveat in caveats)
    assert summary(view_of(BASELINE, CHEAP))["noise"]["floor"]["energy_to_target_j"] is None


def test_flags_of_the_compared_runs_are_caveats() -> None:
    flagged = dataclasses.replace(CHEAP, flags=("foreign CPU load",))
    assert any("foreign CPU load" in c for c in headline(view_of(BASELINE, flagged)).caveats)


def test_the_parameter_that_decides_the_energy_is_the_most_important() -> None:
    records = [
        make_record(n, energy_j=5.0 + n, params={"lr": 1e-3 * 1.6**n, "noise": (n * 7) % 5, "same": 1})
        for n in range(1, 13)
    ]
    found = parameter_importance(view_of(*records))
    assert list(found.shares) == ["lr", "noise"]
    assert sum(found.shares.values()) == pytest.approx(1.0)


def test_importance_leaves_out_the_baseline_replicates_and_trials_without_values() -> None:
    reached = [make_record(n, energy_j=5.0 + n, params={"lr": n * 1e-3}) for n in range(1, MIN_TRIALS)]
    others = [
        BASELINE,
        make_record(51, energy_j=99.0, role="replicate", params={"lr": 0.5}),
        unmeasured(52, "frozen"),
    ]
    found = parameter_importance(view_of(*reached, *others))
    assert (found.shares, found.trials) == ({}, MIN_TRIALS - 1)
    assert f"{MIN_TRIALS - 1} of {MIN_TRIALS - 1} trials reached" in found.note


def test_a_trial_short_of_the_target_counts_as_worse_however_little_it_had_spent() -> None:
    """Its values are lower bounds: those that reached it differ from it by `lr` alone."""
    reached = [make_record(n, energy_j=50.0 + n, params={"lr": 1e-3, "noise": n % 3}) for n in range(1, 5)]
    short = [
        make_record(n, energy_j=1.0, outcome=Outcome.DOMINATED, params={"lr": 1e-1, "noise": n % 3})
        for n in range(5, 13)
    ]
    found = parameter_importance(view_of(*reached, *short))
    assert found.trials == 12
    assert next(iter(found.shares)) == "lr"


def test_importance_needs_a_few_trials_that_reached_the_target() -> None:
    reached = [make_record(1, params={"lr": 1e-3}), make_record(2, params={"lr": 2e-3})]
    short = [make_record(n, outcome=Outcome.DOMINATED, params={"lr": n * 1e-3}) for n in range(3, 14)]
    found = parameter_importance(view_of(*reached, *short))
    assert found.shares == {}
    assert "2 of 13 trials reached the target" in found.note


@pytest.mark.parametrize(
    ("energies", "params", "why"),
    [
        ([5.0] * 9, [{"lr": float(n)} for n in range(9)], "all cost the same"),
        ([5.0 + n for n in range(9)], [{"lr": 1.0}] * 9, "no parameter varies"),
        ([5.0 + n for n in range(9)], [{f"p{n}": n} for n in range(9)], "no parameter varies"),
    ],
)
def test_importance_that_cannot_be_computed_says_why(
    energies: list[float], params: list[dict[str, Any]], why: str
) -> None:
    records = [
        make_record(n + 1, energy_j=e, params=p)
        for n, (e, p) in enumerate(zip(energies, params, strict=True))
    ]
    found = parameter_importance(view_of(*records))
    assert found.shares == {}
    assert why in found.note


def test_importance_takes_categories_lists_and_missing_values_as_they_come() -> None:
    kinds: list[Any] = ["muon", None, [1, 2], True]
    records = [make_record(n, energy_j=5.0 + n, params={"mixed": kinds[n % 4], "n": n}) for n in range(1, 13)]
    assert set(parameter_importance(view_of(*records)).shares) == {"mixed", "n"}


def test_a_bound_on_a_ratio_is_rounded_up() -> None:
    short = make_record(0, energy_j=30.0, outcome=Outcome.OUT_OF_BUDGET)
    assert "at most 0.034." in headline(view_of(short, make_record(1, energy_j=1.0))).text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 J"),
        (0.0214, "21.4 mJ"),
        (58.1, "58.1 J"),
        (1234.0, "1.23 kJ"),
        (2.5e6, "2.50 MJ"),
        (None, "unknown"),
    ],
)
def test_joules_have_three_digits_and_a_prefix(value: float | None, text: str) -> None:
    assert quantity(value, "J") == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.2117, "0.21"), (0.0327, "0.033"), (1.0, "1.00"), (0.998, "0.998"), (1.4, "1.40")]
)
def test_ratios_are_told_from_zero_and_from_one(value: float, text: str) -> None:
    assert ratio(value) == text


@pytest.mark.parametrize(
    ("loss", "text"), [(2.3, "2.30"), (1.905, "1.905"), (3.28001, "3.28"), (math.inf, "inf")]
)
def test_losses_have_two_to_four_decimals(loss: float, text: str) -> None:
    assert nats(loss) == text


def test_only_passwords_are_masked_in_text() -> None:
    text = "postgresql://me:secret@host/db, http://host:8080/a@b, ratio 1:2"
    assert redacted(text) == "postgresql://me:***@host/db, http://host:8080/a@b, ratio 1:2"


def test_the_parameters_of_a_baseline_that_was_not_sampled_are_those_of_its_configuration() -> None:
    baseline = make_record(0, energy_j=60.0, params={}, config={"optimizer": {"lr": 0.001, "beta1": 0.9}})
    view = view_of(baseline, make_record(1, params={"optimizer.lr": 0.01, "model.new": 3}))
    assert summary(view)["baseline"]["params"] == {"optimizer.lr": 0.001}


def trials_at(ratios: Sequence[float], meter: MeterInfo = NVML, **fields: Any) -> list[Record]:
    """Trials of 10, 11, ... J by `cpu_time`, and of so many times that by the meter beside it."""
    return [
        read_beside(make_record(n, energy_j=9.0 + n, **fields), meter, ratio)
        for n, ratio in enumerate(ratios, start=1)
    ]


def only_comparison(records: Sequence[Record]) -> Comparison:
    (found,) = study_view(records, study_config()).meters.comparisons
    return found


def test_a_study_with_one_meter_compares_none_and_its_summary_has_no_key_for_it() -> None:
    view = study_view(make_study(), study_config())
    assert (view.meters.comparisons, view.meters.unreadable) == ((), ())
    assert "meters_side_by_side" not in summary(view)


@pytest.mark.parametrize(
    ("ranking", "beside", "reference", "surrogate"),
    [
        (Kind.MEASURED, Kind.MODELLED, "cpu_time", "other"),
        (Kind.ESTIMATED, Kind.MEASURED, "other", "cpu_time"),
        (Kind.MODELLED, Kind.ESTIMATED, "other", "cpu_time"),
        (Kind.MEASURED, Kind.MEASURED, "cpu_time", "other"),
        (Kind.MODELLED, Kind.MODELLED, "cpu_time", "other"),
    ],
)
def test_measured_is_trusted_over_estimated_over_modelled_and_of_equals_the_one_that_ranks(
    ranking: Kind, beside: Kind, reference: str, surrogate: str
) -> None:
    ours = dataclasses.replace(METER, kind=ranking)
    other = dataclasses.replace(METER, name="other", kind=beside)
    found = only_comparison([read_beside(make_record(1, meter=ours), other, 2.0)])
    assert (found.reference.name, found.surrogate.name) == (reference, surrogate)


def test_every_meter_is_compared_with_the_most_trustworthy_of_all() -> None:
    records = [read_beside(read_beside(CHEAP, ROOFLINE, 0.2), NVML, 3.0)]
    found = study_view(records, study_config()).meters.comparisons
    assert [(each.reference.name, each.surrogate.name) for each in found] == [
        ("nvml", "cpu_time"),
        ("nvml", "roofline"),
    ]


def test_a_meter_that_was_never_readable_is_no_reference() -> None:
    records = [read_beside(read_beside(CHEAP, NVML, 1.0, counted_energy_j=None), ROOFLINE, 0.2)]
    assert only_comparison(records).reference.name == "cpu_time"


def test_meters_are_compared_at_the_crossing_and_not_at_the_end_of_the_run() -> None:
    record = dataclasses.replace(CHEAP, counted_energy_j=99.0)
    assert record.crossing is not None
    (pair,) = only_comparison([read_beside(record, ROOFLINE, 0.5)]).agreement.pairs
    assert (pair.reference_j, pair.surrogate_j) == (record.crossing.energy_j, 0.5 * record.crossing.energy_j)


def test_runs_short_of_the_target_set_the_scale_and_do_not_rank() -> None:
    short = [make_record(n, outcome=Outcome.DOMINATED) for n in (2, 3)]
    found = only_comparison([read_beside(record, ROOFLINE, 0.5) for record in (CHEAP, *short)])
    assert (found.agreement.runs, len(found.agreement.pairs)) == (1, 3)


@pytest.mark.parametrize(
    "fields",
    [
        {"outcome": Outcome.CRASHED},
        {"outcome": Outcome.DOMINATED, "interrupted": True},
        {"outcome": Outcome.UNMEASURED},
    ],
)
def test_runs_that_crashed_or_were_killed_or_have_no_energy_compare_no_meters(fields: dict[str, Any]) -> None:
    broken = dataclasses.replace(make_record(2, **fields), also=(side(ROOFLINE, 5.0),))
    found = only_comparison([read_beside(CHEAP, ROOFLINE, 0.5), broken])
    assert [record.trial for record in found.records] == [1]


def test_a_replicate_compares_meters_and_does_not_rank() -> None:
    found = only_comparison([*trials_at([0.5, 0.5]), *trials_at([0.5], role="replicate")])
    assert (found.agreement.runs, len(found.agreement.pairs)) == (2, 3)


def test_side_readings_that_could_not_be_had_are_counted_by_their_reason() -> None:
    records = [
        *(read_beside(make_record(n), NVML, 1.0, counted_energy_j=None, reason="denied") for n in (1, 2)),
        read_beside(make_record(3), NVML, 0.0, reason="it stood still"),
        read_beside(make_record(5), NVML, math.inf),
        read_beside(make_record(4), NVML, 2.0, reason="not a reason where there are joules"),
    ]
    view = study_view(records, study_config())
    assert [(t.text, t.runs) for t in view.meters.unreadable] == [
        ("denied", 2),
        ("it stood still", 1),
        ("the meter gave no energy and no reason", 1),
    ]
    assert view.meters.comparisons[0].agreement.runs == 1


def test_flags_of_the_meters_beside_are_counted() -> None:
    records = [read_beside(make_record(n), NVML, 1.0, flags=("power_capped",)) for n in (1, 2)]
    (flagged,) = study_view(records, study_config()).meters.flagged
    assert (flagged.meter.name, flagged.text, flagged.runs) == ("nvml", "power_capped", 2)


def test_the_summary_says_how_meters_agree() -> None:
    (entry,) = summary(study_view(make_misranked_study(), study_config()))["meters_side_by_side"]
    assert entry["surrogate"] == {"name": "roofline", "kind": "modelled", "ranks": True}
    assert entry["reference"] == {"name": "nvml", "kind": "measured", "ranks": False}
    assert (entry["runs"], entry["runs_of_any_outcome"]) == (9, 14)
    assert (entry["chosen"], entry["cheapest"], entry["verdict"]) == (12, 7, "DISAGREES")
    assert entry["regret"] == pytest.approx(15.9 / 12.3)


def test_a_measured_meter_that_disagrees_with_the_one_that_ranks_is_warned_of_with_numbers_and_kinds() -> (
    None
):
    warning = words.meter_warning(study_view(make_misranked_study(), study_config()))
    assert "nvml (measured), read beside roofline (modelled)" in warning
    assert "trial 12, the cheapest by roofline, costs 1.29 times what trial 7 costs by nvml" in warning
    assert "(15.9 J against 12.3 J, measured)" in warning
    assert "Spearman's ρ is 0.90 [0.48, 0.98] over 9 runs" in warning
    assert "meter=nvml" in warning


@pytest.mark.parametrize(
    "records",
    [make_study(), make_metered_study(), trials_at([2.0] * 12), [], trials_at([2.0, 1.0, 3.0], ROOFLINE)],
    ids=["one meter", "the measured one ranks", "they agree", "nothing", "a modelled one beside"],
)
def test_where_the_ranking_stands_there_is_no_warning(records: list[Record]) -> None:
    view = study_view(records, study_config())
    assert (words.meter_warning(view), words.meter_caveat(view)) == ("", "")


def test_of_two_measured_meters_none_is_the_better_one() -> None:
    ours = dataclasses.replace(METER, kind=Kind.MEASURED)
    records = [dataclasses.replace(record, meter=ours) for record in trials_at([3.0, 2.0, 1.0])]
    view = study_view(records, study_config())
    assert view.meters.comparisons[0].agreement.verdict is Verdict.DISAGREES
    assert words.meter_warning(view) == ""


@pytest.mark.parametrize(
    ("runs", "says"), [(3, "3 of the 5 runs that it takes"), (6, "not shown to agree: the interval reaches")]
)
def test_too_few_runs_to_trust_the_ranking_meter_are_a_caveat(runs: int, says: str) -> None:
    view = study_view(trials_at([2.0] * runs), study_config())
    (caveat,) = [caveat for caveat in headline(view).caveats if "read beside it" in caveat]
    assert caveat.startswith("Ranked by cpu_time (estimated), with nvml (measured) read beside it")
    assert says in caveat
    assert words.meter_warning(view) == ""


@pytest.mark.parametrize(
    ("ratios", "says"),
    [
        ([2.0] * 12, "agrees"),
        ([2.0] * 6, "not shown to agree"),
        ([2.0] * 4, "unknown: 4 of the 5 runs"),
        ([2.0, 2.0, 1.0], "does not agree: its winner, trial 1, costs 1.67 times what trial 3 costs"),
        (
            [0.5, *((30.0 - n) / n for n in range(11, 23))],
            "does not agree: the interval of its rank correlation lies below 0.9",
        ),
    ],
    ids=["agrees", "undecided", "few", "regret", "order"],
)
def test_the_verdict_says_why(ratios: list[float], says: str) -> None:
    found = only_comparison(trials_at(ratios))
    assert words.verdict_words(found.agreement).startswith(says)


def test_a_meter_that_reads_all_runs_alike_has_an_unknown_verdict() -> None:
    records = [read_beside(make_record(n, energy_j=10.0 + n / 100), ROOFLINE, 1.0) for n in range(1, 6)]
    flat = [dataclasses.replace(record, also=(side(ROOFLINE, 3.0),)) for record in records]
    assert "reads every run the same" in words.verdict_words(only_comparison(flat).agreement)


@pytest.mark.parametrize(
    ("records", "hints"),
    [
        (make_study(), True),
        (trials_at([2.0], ROOFLINE), True),
        (trials_at([2.0]), False),
        (make_metered_study(), False),
        ([], False),
    ],
    ids=["estimated alone", "modelled beside", "measured beside", "measured", "nothing"],
)
def test_where_no_measured_meter_ran_it_says_how_to_add_one(records: list[Record], hints: bool) -> None:
    assert ("meter.also=[nvml]" in words.measured_hint(study_view(records, study_config()))) is hints


@pytest.mark.parametrize(
    ("error_j", "text"),
    [
        (None, "58.1 J"),
        (0.4, "58.1 ± 0.40 J"),
        (12.34, "58.1 ± 12 J"),
        (0.0, "58.1 J"),
        (0.001, "58.1 J"),
        (math.inf, "58.1 J"),
    ],
)
def test_an_error_stands_beside_joules_where_it_can_be_seen(error_j: float | None, text: str) -> None:
    assert words.objective_value("energy_to_target_j", 58.1, error_j) == text


def test_an_error_has_the_prefix_of_its_value_and_belongs_to_counted_joules_alone() -> None:
    assert words.objective_value("energy_to_target_j", 1234.0, 5.0) == "1.23 ± 0.0050 kJ"
    assert words.objective_value("energy_to_target_j", 0.0214, 0.001) == "21.4 ± 1.0 mJ"
    assert words.objective_value("time_to_target_s", 10.0, 5.0) == "10.0 s"
    assert words.objective_value("energy_to_target_j", None, 5.0) == "unknown"


def test_errors_are_in_the_summary_and_unknown_ones_are_null() -> None:
    records = [dataclasses.replace(BASELINE, energy_error_j=0.5), CHEAP]
    content = summary(view_of(*records))
    assert content["baseline"]["energy_error_j"] == 0.5
    assert content["front"][0]["energy_error_j"] is None


FLAGS = (
    *("counter_power_disagree", "throttled_thermal", "throttled_power_brake", "throttled_hardware"),
    *("throttling_unknown", "power_capped", "power_limit_lowered", "foreign_process"),
    *("processes_not_identifiable", "foreign_cpu_load", "cpu_contended", "cpu_stolen", "cpu_waiting"),
    *("cpu_throttled", "cpu_load_unknown", "short_window", "started_hot", "started_cold"),
    *("temperature_unknown", "device_not_exclusive", "sampling_gap", "energy_until_last_report"),
    *("paused", "power_implausible", "threads_spinning"),
)


@pytest.mark.parametrize("name", FLAGS)
def test_every_flag_has_words(name: str) -> None:
    text = words.flag(name)
    assert text != name
    assert "_" not in text
    assert not text.endswith(".")


def test_an_unknown_flag_is_shown_by_its_name() -> None:
    assert words.flag("something_new") == "something_new"


def test_caveats_say_flags_in_words() -> None:
    flagged = dataclasses.replace(CHEAP, flags=("power_capped", "something_new"))
    caveats = " ".join(headline(view_of(BASELINE, flagged)).caveats)
    assert "Trial 1 is flagged: the power limit held the clocks down" in caveats
    assert "something_new" in caveats
