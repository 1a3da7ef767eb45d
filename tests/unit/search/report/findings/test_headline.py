from __future__ import annotations

import dataclasses

import pytest
from records_factory import (
    BASELINE,
    CHEAP,
    SHORT_BASELINE,
    make_record,
    make_study,
    study_config,
    unmeasured,
)
from report_page import view_of

from search.record.outcome import Outcome, Role
from search.record.record import Record
from search.report.findings.headline import headline, what_it_is
from search.report.summary_json import summary
from search.report.view.data import Saving, StudyView, study_view


def again(trial: int, energy_j: float, time_s: float = 20.0) -> Record:
    """One more run of the baseline."""
    return make_record(trial, energy_j=energy_j, time_s=time_s, role=Role.BASELINE)


def test_the_headline_gives_ratios_both_numbers_and_the_kind_of_energy() -> None:
    found = headline(study_view(make_study(), study_config()))
    assert found.text == (
        "Trial 7 reached 2.30 nats with 0.21 of the baseline's energy (12.3 J against 58.1 J, estimated by "
        "cpu_time) and 0.25 of its time (4.90 s against 19.6 s)."
    )
    assert any("Not yet confirmed" in caveat for caveat in found.caveats)


def test_a_recipe_that_ran_again_says_how_its_other_runs_ended() -> None:
    first = make_record(1, energy_j=12.0)
    cheaper = dataclasses.replace(make_record(2, energy_j=11.0), config=first.config)
    missed = make_record(3, outcome=Outcome.OUT_OF_BUDGET, final_loss=2.3004)
    missed = dataclasses.replace(missed, config=first.config)
    view = view_of(BASELINE, first, cheaper, missed, make_record(4, energy_j=40.0))
    caveats = headline(view).caveats
    assert caveats[0] == (
        "The same recipe with another seed: trial 2 reached the target for 11.0 J and 8.00 s; trial 3 missed "
        "the target by 0.00040 nats."
    )
    assert not any("One run each" in caveat for caveat in caveats)
    unranked = dataclasses.replace(cheaper, values={"energy_to_target_j": 11.0})
    text = headline(view_of(BASELINE, first, unranked)).caveats[0]
    assert text == "The same recipe with another seed: trial 2 reached the target."
    assert "Trial 1 of demo: of 3 runs the dearest to reach the target, with 0.20" in what_it_is(view, first)
    alone = view_of(BASELINE, first, make_record(4, energy_j=40.0))
    assert any(caveat.startswith("One run each. Not yet confirmed") for caveat in headline(alone).caveats)
    assert ": one run, with 0.20" in what_it_is(alone, first)


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
        ([BASELINE, make_record(1, energy_j=66.0)], "No trial saved energy: the best, trial 1, reached"),
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
    assert text.startswith("Nothing was saved: only the baseline is on the front: the best, trial 1, ")


def test_a_ratio_within_what_runs_of_the_baseline_differ_by_is_no_saving() -> None:
    runs = [again(0, 60.0), make_record(1, energy_j=58.0), again(2, 66.0), again(3, 63.0)]
    view = view_of(*runs)
    assert view.baseline is runs[3]
    assert view.saving is Saving.WITHIN_NOISE
    text = headline(view).text
    assert text.startswith(
        "No saving beyond the noise floor (± 27 % in energy, by 3 runs of the baseline): the "
    )
    assert "the best, trial 1, reached 2.30 nats with 0.92 of the baseline's energy" in text
    clear = view_of(again(0, 60.0), CHEAP, again(2, 66.0), again(3, 63.0))
    assert clear.saving is Saving.SAVES
    assert any("± 27 %" in caveat and "trials 0, 2, 3" in caveat for caveat in headline(clear).caveats)


def test_without_a_second_run_of_the_baseline_the_noise_floor_is_not_known() -> None:
    caveats = headline(view_of(BASELINE, CHEAP)).caveats
    assert any("The noise floor is not known: the baseline ran once" in caveat for caveat in caveats)
    assert summary(view_of(BASELINE, CHEAP))["noise"]["floor"]["energy_to_target_j"] is None


def test_flags_of_the_compared_runs_are_caveats() -> None:
    flagged = dataclasses.replace(CHEAP, flags=("foreign CPU load",))
    assert any("foreign CPU load" in c for c in headline(view_of(BASELINE, flagged)).caveats)


def test_a_bound_on_a_ratio_is_rounded_up() -> None:
    short = make_record(0, energy_j=30.0, outcome=Outcome.OUT_OF_BUDGET)
    assert "at most 0.034." in headline(view_of(short, make_record(1, energy_j=1.0))).text


def test_caveats_say_flags_in_words() -> None:
    flagged = dataclasses.replace(CHEAP, flags=("power_capped", "something_new"))
    caveats = " ".join(headline(view_of(BASELINE, flagged)).caveats)
    assert "Trial 1 is flagged: the power limit held the clocks down" in caveats
    assert "something_new" in caveats


def counted_first(trial: int, parameters: int, energy_j: float, role: Role = Role.SEARCH) -> Record:
    """A run of a study that ranks by parameters, then by energy."""
    values = {"parameters": float(parameters), "energy_to_target_j": energy_j}
    return make_record(trial, energy_j=energy_j, role=role, values=values, spent=values)


def by_parameters(*records: Record) -> StudyView:
    return view_of(*records, names=("parameters", "energy_to_target_j"))


def test_where_the_first_objective_is_equal_the_next_decides() -> None:
    runs = [
        counted_first(n, 16_480, joules, Role.BASELINE) for n, joules in ((0, 42.0), (4, 27.0), (5, 28.0))
    ]
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
    runs = [counted_first(n, 16_480, 30.0, Role.BASELINE) for n in (0, 2)]
    view = by_parameters(*runs, counted_first(1, 16_480, 30.0))
    assert view.saving is Saving.NOTHING
    assert any("Noise floor: none" in caveat for caveat in headline(view).caveats)


def test_counts_are_named_and_have_no_meter() -> None:
    only = ("parameters",)
    alone = headline(view_of(counted_first(0, 16_480, 30.0, Role.BASELINE), names=only)).text
    assert alone.startswith("Only the baseline reached 2.30 nats (16,480 parameters): nothing was saved.")
    without = headline(view_of(counted_first(1, 16_480, 30.0), names=only)).text
    assert "for 16,480 parameters; there is no baseline" in without


def test_a_further_objective_within_its_noise_says_so() -> None:
    runs = [again(0, 60.0, time_s=20.0), again(2, 60.1, time_s=30.0), again(3, 60.2, time_s=11.0)]
    found = headline(view_of(*runs, make_record(1, energy_j=12.0, time_s=10.0)))
    assert "(10.0 s against 30.0 s, within noise)" in found.text
    assert any("of its energy and a factor of" in caveat for caveat in found.caveats)


def test_where_nothing_reached_the_target_the_page_too_says_what_to_type() -> None:
    (caveat,) = headline(view_of(SHORT_BASELINE)).caveats
    assert "type study.name=OTHER target_loss=2.46" in caveat
