from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import jsonschema
import numpy as np
import pytest
from records_factory import METER, PROVENANCE, make_record, make_study, study_config, unmeasured

from search.report.data import ReportError, StudyView, study_view, summary
from search.report.importance import MIN_TRIALS, parameter_importance
from search.report.words import headline, nats, quantity, ratio, redacted
from search.trial import CountedPhases, Outcome, Record

NUMBERS = {"type": "object", "additionalProperties": {"type": "number"}}
TEXT_OR_NULL = {"type": ["string", "null"]}
NUMBER_OR_NULL = {"type": ["number", "null"]}
OUTCOMES = {outcome.value for outcome in Outcome}


def required(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


SCHEMA = required(
    schema={"const": 1},
    study={"type": "string"},
    meter=required(
        name=TEXT_OR_NULL,
        kind={"enum": ["measured", "estimated", "modelled", None]},
        counted_phases={"type": "array", "items": {"type": "string"}},
    ),
    problem=required(
        dataset=TEXT_OR_NULL,
        dataset_sha256=TEXT_OR_NULL,
        target_loss=NUMBER_OR_NULL,
        ngram_loss=NUMBER_OR_NULL,
    ),
    objectives={"type": "array", "items": {"type": "string"}, "minItems": 1},
    outcomes={
        "type": "object",
        "propertyNames": {"enum": sorted(OUTCOMES)},
        "additionalProperties": {"type": "integer"},
    },
    baseline=required(
        trial={"type": ["integer", "null"]}, outcome=TEXT_OR_NULL, values=NUMBERS, phases_j=NUMBERS
    ),
    front={
        "type": "array",
        "items": required(
            trial={"type": "integer"},
            params={"type": "object"},
            values=NUMBERS,
            phases_j=NUMBERS,
            flags={"type": "array", "items": {"type": "string"}},
            confirmed={"const": False},
        ),
    },
    search_cost=required(
        energy_j={"type": "number"},
        time_s={"type": "number"},
        by_outcome_j=NUMBERS,
        saved_by_stopping_j={"type": "number"},
        break_even_runs=NUMBER_OR_NULL,
        runs_without_energy={"type": "integer"},
    ),
    verdict={"type": "null"},
)


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
}


@pytest.mark.parametrize("records", STUDIES.values(), ids=STUDIES)
def test_every_study_has_a_summary_of_the_schema_in_strict_json_and_builtin_types(
    records: list[Record],
) -> None:
    content = summary(study_view(records, study_config()))
    jsonschema.validate(content, SCHEMA)
    assert only_builtin(content)
    assert json.loads(json.dumps(content, allow_nan=False)) == content


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
    assert any("not yet confirmed" in caveat for caveat in found.caveats)


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
