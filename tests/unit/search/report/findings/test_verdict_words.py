"""The verdict in words: in the headline, in its own section, on a terminal, and what to type next."""

from __future__ import annotations

import dataclasses
import math
from functools import cache

import pytest
from records_factory import (
    TRUTHS,
    confirmed_config,
    end_of_schedule,
    make_confirmed_study,
    make_searched_study,
    study_config,
)
from report_page import confirmed_view, view_of

from search.record.outcome import Outcome, Role
from search.record.record import Record
from search.report.findings.advice import what_next
from search.report.findings.cost import cost_line, cost_tiles
from search.report.findings.headline import headline
from search.report.findings.verdict import verdict_lines
from search.report.findings.verdict_section import VerdictFindings, verdict_findings
from search.report.view.data import StudyView, study_view

KINDS = ("SAVES", "TIE", "COSTS", "UNPROVEN")
decided = cache(confirmed_view)


def section(view: StudyView) -> VerdictFindings:
    found = verdict_findings(view)
    assert found is not None
    return found


def diverged(record: Record) -> Record:
    """The record as of a run that diverged before its end."""
    whole = dataclasses.replace(
        record,
        outcome=Outcome.DIVERGED,
        curve=tuple(dataclasses.replace(point, loss=math.inf) for point in record.curve),
        values={},
        test_loss=None,
    )
    return end_of_schedule(whole)


def arm_of(record: Record) -> str:
    return "" if record.confirmation is None else record.confirmation.arm


@pytest.mark.parametrize("kind", KINDS)
def test_a_study_ends_in_the_verdict_that_its_recipes_deserve(kind: str) -> None:
    found = section(decided(kind))
    assert found.kind == kind
    assert found.sentence.startswith(
        f"{kind}: trial 1, trained for 405 steps on shakespeare_char, ends at 2.27"
    )


def test_a_verdict_is_the_headline_and_the_searchs_own_run_comes_second() -> None:
    found = headline(decided("SAVES"))
    assert found.text == (
        "SAVES: trial 1 reaches 2.30 nats with 0.21 (0.20 to 0.22) of the documented baseline's energy and "
        "0.25 (0.24 to 0.27) of its time, on 5 fresh seeds, none missed."
    )
    assert found.caveats[0].startswith(
        "The search's own run, trial 1, cost 0.20 of the baseline's energy (12.0 J against 60.0 J"
    )
    assert ": one run, which ended at its first loss at or below the target" in found.caveats[0]
    assert not any("Not yet confirmed" in caveat for caveat in found.caveats)


def test_the_searchs_own_run_is_said_to_be_the_dearest_of_its_recipes() -> None:
    view = dataclasses.replace(decided("SAVES"), replicates={2: 1})
    ended = "of 2 runs the dearest to reach the target, which ended at its first loss at or below the target"
    assert ended in headline(view).caveats[0]


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("TIE", "TIE: trial 1 takes as much energy as the documented baseline, 0.999 (0.98 to 1.02) of it"),
        ("COSTS", "COSTS: trial 1 takes 1.44 (1.37 to 1.51) of the documented baseline's energy"),
    ],
)
def test_what_the_search_had_found_does_not_stand_where_fresh_seeds_refute_it(kind: str, says: str) -> None:
    assert headline(decided(kind)).text.startswith(says)
    assert "no break-even" in [tile.value for tile in cost_tiles(decided(kind))]
    assert "pays for itself" not in cost_line(decided(kind))


def test_without_proof_the_headline_keeps_the_searchs_finding_and_says_why_it_is_unproven() -> None:
    text = headline(decided("UNPROVEN")).text
    assert text.startswith("Trial 1 reached 2.30 nats with 0.20 of the baseline's energy (12.0 J against")
    assert "8 fresh seeds leave trial 1 UNPROVEN: energy against the documented baseline fails, 0.8" in text
    assert text.endswith("; nor do 2 further clauses hold.")


@pytest.mark.parametrize(
    ("most", "says"),
    [
        (0, "Not yet confirmed with fresh seeds"),
        (4, "The confirmation is open: lengths are being fitted, in 4 runs so far."),
        (10, "The confirmation is open: its first round is not complete."),
        (17, "The confirmation is open: 2 fresh seeds so far decide nothing."),
    ],
)
def test_an_open_confirmation_says_how_far_it_is(most: int, says: str) -> None:
    view = decided("SAVES", most=most)
    found = headline(view)
    assert says in " ".join((found.text, *found.caveats))
    assert "python -m search.confirm reports/demo" in what_next(view, "reports/demo")
    assert found.text.startswith("Trial 1 reached 2.30 nats")


@pytest.mark.parametrize("kind", ["SAVES", "TIE", "COSTS"])
def test_a_decided_verdict_leaves_nothing_to_type(kind: str) -> None:
    assert what_next(decided(kind), "reports/demo") == ""


def test_an_unproven_one_says_what_would_decide_it() -> None:
    line = what_next(decided("UNPROVEN"), "reports/demo")
    assert line == "Unproven. What would decide the verdict: about 104 seeds by the present spread."


def test_where_the_joules_for_it_were_spent_more_of_them_continue_it() -> None:
    view = confirmed_view("SAVES", energy_j=900.0)
    assert (
        "3 of 5 seeds have run, too few for a verdict; confirm.energy_j=900 is spent" in headline(view).text
    )
    assert what_next(view, "a b").endswith("python -m search.confirm 'a b' confirm.energy_j=MORE")


def test_where_confirming_was_turned_off_the_command_turns_it_on() -> None:
    view = study_view(make_searched_study(), confirmed_config(candidates=0))
    assert what_next(view, "reports/demo").endswith("search.confirm reports/demo confirm.candidates=2")
    assert verdict_findings(view) is None
    assert verdict_lines(view) == ()


def test_without_a_baseline_there_is_nothing_to_confirm_beside() -> None:
    line = what_next(view_of(*make_searched_study()[1:]), "reports/demo")
    assert "It takes a baseline" in line
    assert "search.confirm" not in line


@pytest.mark.parametrize("kind", KINDS)
def test_every_clause_has_a_word_beside_its_symbol(kind: str) -> None:
    rows = section(decided(kind)).clauses
    assert [row.name for row in rows][:3] == [
        "reach",
        "energy against the documented baseline",
        "energy against the fitted baseline",
    ]
    assert {(row.symbol, row.mark) for row in rows} <= {("✓", "holds"), ("✗", "fails"), ("?", "not known")}
    assert all(row.mark == "holds" for row in rows) is (kind == "SAVES")


def test_the_arms_stand_side_by_side_each_with_its_own_verdict() -> None:
    documented, fitted, first, second = section(decided("SAVES")).arms
    assert (documented.name, documented.steps, documented.reached) == (
        "the baseline, as documented",
        "1,600",
        "5 of 5",
    )
    assert (documented.ratio, fitted.ratio, first.ratio) == ("", "0.96", "0.21 (0.20 to 0.22)")
    assert (first.leads, first.verdict, first.energy) == (True, "✓ SAVES", "12.2 J")
    assert (second.leads, second.verdict, second.reached) == (False, "? UNPROVEN", "3 of 3")


def test_who_left_the_race_how_lengths_were_fitted_and_what_it_took_is_said() -> None:
    found = section(decided("SAVES"))
    assert found.left == (
        "Trial 2 got no more seeds: after 3 seeds trial 1, which reaches the target, takes less energy with "
        "95 % confidence.",
    )
    assert found.fits[0].startswith(
        "The baseline, at its fitted length: 1,531 steps instead of 1,600, where 96 %"
    )
    assert found.fits[1].endswith("from 3 runs.")
    assert found.cost.startswith(
        "9 runs fitted lengths; with those of the rounds the confirmation took 27 runs"
    )
    assert found.cost.endswith("It ended because the leading candidate is decided after 5 seeds: SAVES.")


def test_a_fitted_length_that_is_the_documented_one_is_no_arm_of_its_own() -> None:
    found = section(decided("TIE"))
    assert [arm.name for arm in found.arms] == ["the baseline, as documented", "trial 1", "trial 2"]
    assert "(taken as the documented length)" in found.fits[0]


def test_rounds_of_uneven_load_are_counted_and_said() -> None:
    noisy = {1: dataclasses.replace(TRUTHS["SAVES"][1], flags=("foreign_cpu_load",))}
    view = confirmed_view("SAVES", truths=noisy)
    assert section(view).uneven.startswith("Of 5 rounds, 5 saw different load on their sides")
    assert section(view).flagged
    caveats = headline(view).caveats
    assert any("5 saw different load" in caveat for caveat in caveats)
    assert "Trial 1 has flagged runs: other processes used over a tenth of a core." in caveats
    assert not section(decided("SAVES")).flagged


def test_a_run_that_diverged_leaves_no_mean_and_no_number_that_is_none() -> None:
    records = make_confirmed_study("SAVES", repeats=0)
    of_trial = [n for n, r in enumerate(records) if r.role is Role.CONFIRM and arm_of(r) == "trial 1"]
    records[of_trial[-1]] = diverged(records[of_trial[-1]])
    view = study_view(records, confirmed_config(repeats=0))
    found = section(view)
    assert "trial 1, trained for 405 steps on shakespeare_char, had a run that diverged" in found.sentence
    assert next(arm for arm in found.arms if arm.name == "trial 1").loss == "diverged"
    assert "inf" not in " ".join((*verdict_lines(view), headline(view).text)).split()


def test_runs_that_pay_for_it_are_those_of_the_recipe_that_was_confirmed() -> None:
    view = decided("SAVES")
    assert view.cost.break_even_runs == pytest.approx(view.cost.energy_j / (59.5 - 12.2), rel=0.01)
    assert "28.6 runs pay for" in section(view).sentence
    assert "28.6 runs of the confirmed recipe" in cost_line(view)
    assert decided("TIE").cost.break_even_runs is None


def test_a_terminal_gets_the_verdict_its_numbers_and_what_does_not_hold() -> None:
    saves, unproven = verdict_lines(decided("SAVES")), verdict_lines(decided("UNPROVEN"))
    assert saves[0] == "SAVES: trial 1, 405 steps: the recipe saves energy, and every clause holds"
    assert saves[2].startswith("  energy: 0.21 (0.20 to 0.22) of the documented baseline's, 0.21")
    assert not any("fails" in line for line in saves)
    assert sum(" fails: " in line for line in unproven) == 3
    assert max(map(len, (*saves, *unproven))) < 130


def test_an_open_confirmation_does_not_list_clauses_on_a_terminal() -> None:
    lines = verdict_lines(decided("SAVES", most=17))
    assert lines[-1] == "  The confirmation is open: 2 fresh seeds so far decide nothing."
    assert not any("not known" in line for line in lines[1:])


def test_a_study_of_a_version_that_confirmed_nothing_has_no_verdict() -> None:
    view = study_view(make_searched_study(), study_config())
    assert verdict_findings(view) is None
    assert "python -m search.confirm" in what_next(view, "reports/demo")
