"""A study whose target is an accuracy: the same findings as of a loss, in its own words."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import jsonschema
import pytest
from records_factory import TARGET, by_accuracy, confirmed_config, make_confirmed_study, make_study
from report_page import Page, confirmed_view, report_of, view_of

from model.metric import PER_NAT
from search.record.outcome import Outcome
from search.report.findings.advice import missed
from search.report.schema import summary_schema
from search.report.summary_json import summary
from search.report.view.data import study_view

ACCURATE = round(1 - PER_NAT * TARGET, 12)
CONFIG = confirmed_config() | {"target_metric": "accuracy", "target_accuracy": ACCURATE}


def test_nothing_before_the_list_of_runs_speaks_of_losses(tmp_path: Path) -> None:
    page = Page(report_of(tmp_path / "demo", by_accuracy(make_confirmed_study()), CONFIG).read_text())
    said = page.text[: page.text.index("All runs")]
    assert not re.findall(r"\b(loss|losses|nats?)\b", said, flags=re.IGNORECASE)
    assert f"reaches an accuracy of {ACCURATE:.3f}" in said
    assert "test accuracy -" in said or "test accuracy +" in said


@pytest.mark.parametrize("kind", ["SAVES", "COSTS"])
def test_the_verdict_on_error_rates_is_that_on_the_losses_that_they_go_with(kind: str) -> None:
    """Lengths are fitted and seeds counted alike, since every prior is scaled."""
    of_loss = confirmed_view(kind)
    found = study_view(by_accuracy(make_confirmed_study(kind)), CONFIG)
    assert found.confirmation is not None
    assert of_loss.confirmation is not None
    assert found.confirmation.next is None
    assert found.confirmation.steps == of_loss.confirmation.steps
    verdict = found.confirmation.verdict
    assert verdict is not None
    assert verdict.kind == kind


def test_the_summary_has_accuracies_where_it_has_no_losses() -> None:
    found = summary(study_view(by_accuracy(make_confirmed_study()), CONFIG))
    jsonschema.validate(found, summary_schema())
    assert found["problem"]["target_metric"] == "accuracy"
    assert found["problem"]["target_accuracy"] == ACCURATE
    assert found["problem"]["target_loss"] is None
    first = found["verdict"][0]
    assert first["mean_loss"] is None
    assert first["mean_accuracy"] >= ACCURATE
    difference = first["accuracy_difference"]
    assert difference["low"] <= difference["estimate"] <= difference["high"]
    assert "accuracy" in [clause["name"] for clause in first["clauses"]]


def test_the_table_of_runs_has_columns_of_its_own(tmp_path: Path) -> None:
    report_of(tmp_path / "demo", by_accuracy(make_study()), CONFIG)
    rows = list(csv.DictReader((tmp_path / "demo" / "trials.csv").read_text().splitlines()))
    assert {row["best_loss"] for row in rows} == {""}
    reached = [row for row in rows if row["outcome"] == Outcome.REACHED]
    assert reached
    assert all(float(row["best_accuracy"]) >= ACCURATE for row in reached)


def test_what_to_type_where_nothing_reached_it_is_an_accuracy_that_a_run_had() -> None:
    short = [record for record in by_accuracy(make_study()) if record.outcome is Outcome.OUT_OF_BUDGET]
    view = view_of(*short)
    line = missed(view)
    assert view.closest is not None
    typed = float(re.findall(r"target_accuracy=([\d.]+);", line)[0])
    assert typed < view.problem.metric.shown(view.closest.best_loss or 0.0)
    assert line.endswith("target_accuracy=auto.")
