"""The ablation for scripts, and on the page."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import jsonschema
import pytest
from ablated_study import World, ablated_view, study_settings
from records_factory import make_study, study_config
from report_page import Page

from search.report.schema import summary_schema
from search.report.summary_json import summary
from search.report.view.data import study_view
from search.report.write import write_report

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.mark.parametrize(
    ("world", "confirm", "at"),
    [
        (World(), {}, None),
        (World(never=20.0), {}, None),
        (World(), {"loss_margin": 0.0}, None),
        (World(), {}, -14),
    ],
    ids=["whole", "out of reach", "does not save", "begun"],
)
def test_every_ablation_is_of_the_schema_and_drawn(
    tmp_path: Path, world: World, confirm: dict[str, float], at: int | None
) -> None:
    view = ablated_view(world, at, **confirm)
    content = summary(view)
    jsonschema.validate(content, summary_schema(closed=True))
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    page = Page(write_report(tmp_path / "demo", view, asdict(study_settings().config)).read_text())
    assert page.with_id("ablation") == ["h2"]
    assert ("figure-ablation" in page.figures()) is (content["ablation"]["baseline_j"] is not None)


def test_factors_and_interactions_multiply_to_the_whole() -> None:
    found = summary(ablated_view(World()))["ablation"]
    product = found["baseline_length"]["estimate"] * found["interactions"]["estimate"]
    for group in found["groups"]:
        product *= group["factor"]["estimate"]
    assert product == pytest.approx(found["baseline_j"] / found["winner_j"])
    assert (found["trial"], found["rounds"], found["why"]) == (4, 3, "")
    shape = found["groups"][0]
    assert (shape["group"], shape["changes"]) == ("shape", {"model.n_layer": {"baseline": 4, "winner": 2}})


def test_a_study_without_an_ablation_has_neither_the_field_nor_the_section(demo_page: Page) -> None:
    assert "ablation" not in summary(study_view(make_study(), study_config()))
    assert demo_page.with_id("ablation") == []
