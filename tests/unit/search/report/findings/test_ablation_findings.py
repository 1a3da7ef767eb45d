"""Where the saving comes from, in sentences and rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ablated_study import World, ablated_view
from records_factory import make_study, study_config

from search.report.findings.ablation import AblationFindings, ablation_findings, ablation_lines
from search.report.view.data import StudyView, study_view

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.fixture(scope="module")
def view() -> StudyView:
    return ablated_view(World())


def found(view: StudyView) -> AblationFindings:
    findings = ablation_findings(view)
    assert findings is not None
    return findings


def with_state(view: StudyView, **fields: Any) -> StudyView:
    assert view.ablation is not None
    return replace(view, ablation=replace(view.ablation, **fields))


def test_a_study_that_asked_for_no_ablation_says_nothing_of_one() -> None:
    assert ablation_findings(study_view(make_study(), study_config())) is None
    assert ablation_findings(ablated_view(World(), ablate=False)) is None
    assert ablation_lines(study_view([], study_config())) == ()


def test_the_rows_go_from_the_length_over_the_groups_and_what_is_left_over_to_all_together(
    view: StudyView,
) -> None:
    rows = found(view).rows
    names = [row.name for row in rows]
    assert names == ["the baseline's length", "shape", "optimizer", "interactions", "all together"]
    (change,) = rows[1].changes
    assert (change.path, change.name, change.values) == ("model.n_layer", "n_layer", "2 → 4")
    assert rows[1].reached == "3 of 3"
    assert rows[1].factor.startswith("2.0")
    assert " to " in rows[1].factor
    assert rows[0].steps.endswith("→ 2,000")


def test_the_sentence_names_both_energies_and_the_group_that_adds_most(view: StudyView) -> None:
    text = found(view).sentence
    assert text.startswith("Trial 4 takes 9.16 J and the baseline 39.0 J, 4.26 times as much.")
    assert "The most comes from shape: put back, it takes 2.02 (1.68 to 2.44) times the joules." in text


def test_what_is_left_over_may_be_chance_or_is_said_to_be_an_interaction(view: StudyView) -> None:
    assert "which may be chance: no interaction shows." in found(view).leftover
    assert "Groups need each other" in found(ablated_view(World(interaction=0.6))).leftover


def test_the_note_says_how_many_intervals_hold_together(view: StudyView) -> None:
    assert "95 % ones for all of them together, 4 in number" in found(view).note
    assert "The baseline's length" in found(view).note


def test_a_group_that_never_reaches_the_target_is_a_bound_with_a_remark() -> None:
    findings = found(ablated_view(World(never=20.0)))
    by_name = {row.name: row.factor for row in findings.rows}
    assert by_name["optimizer"].startswith("at least 3.9")
    assert by_name["interactions"].startswith("at most")
    assert "2 in number" in findings.note
    (remark,) = findings.remarks
    assert remark.startswith("Optimizer: no length was found (does not reach the target within 4 times its")


def test_a_group_that_cannot_run_says_why(view: StudyView) -> None:
    assert view.ablation is not None
    shape, *others = view.ablation.arms
    skipped = replace(shape, why_not="no such kernel")
    steps = {arm: steps for arm, steps in view.ablation.steps.items() if arm != shape.name}
    rounds = tuple(
        replace(one, runs={arm: run for arm, run in one.runs.items() if arm in steps})
        for one in view.ablation.rounds
    )
    findings = found(with_state(view, arms=(skipped, *others), steps=steps, rounds=rounds))
    assert findings.remarks == ("Shape: put back, it cannot run: no such kernel.",)
    assert {row.name: row.factor for row in findings.rows}["shape"] == "unknown"
    assert "It also holds what shape would do, which is not known." in findings.leftover


def test_a_candidate_that_does_not_save_has_a_sentence_and_no_rows() -> None:
    findings = found(ablated_view(World(), loss_margin=0.0))
    assert findings.rows == ()
    assert findings.sentence == (
        "Nothing was ablated: the verdict on trial 4 is UNPROVEN, so that there is no saving to explain."
    )


def test_an_ablation_that_is_not_at_its_end_says_so() -> None:
    begun = found(ablated_view(World(), at=-14))
    assert begun.sentence.endswith("It has not come to its end: 0 rounds so far.")
    assert [row.factor for row in begun.rows] == ["", ""]
    assert begun.leftover == ""
    assert found(ablated_view(World(), at=-1)).sentence.endswith(
        "It has not come to its end: 2 rounds so far."
    )


def test_a_spent_budget_is_named(view: StudyView) -> None:
    early = found(with_state(view, why="confirm.energy_j=9 is spent"))
    assert early.sentence.endswith("It ended early: confirm.energy_j=9 is spent.")


def test_rounds_of_different_load_are_counted(view: StudyView) -> None:
    assert view.ablation is not None
    first, *others = view.ablation.rounds
    uneven = with_state(view, rounds=(replace(first, uneven=("foreign_process",)), *others))
    assert "Of the 3 rounds, 1 saw different load" in found(uneven).note
    assert "different load" not in found(view).note


def test_a_terminal_gets_one_line(view: StudyView) -> None:
    (line,) = ablation_lines(view)
    assert line == (
        "where the saving comes from, as factors: the baseline's length 1.14, shape 2.02, optimizer 1.91, "
        "interactions 0.964; together 4.26"
    )
