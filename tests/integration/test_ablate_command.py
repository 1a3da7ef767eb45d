"""Where the saving comes from, as a person asks for it: tiny runs, real processes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import jsonschema
import pytest
from conftest import run_here
from running_study import records_of

from search.files.paths import study_dir
from search.record.confirmation import Purpose
from search.report.schema import summary_schema

# Two levers that both pay by so much that a busy machine still sees it, and lengths with room for seed noise.
OVERRIDES = (
    *("space=levers", "sampler=random", "budget.n_trials=4", "target_loss=3.25"),
    *("model.n_layer=2", "optimizer.lr=1e-3", "train.batch_size=12", "train.max_steps=300"),
    *("confirm.candidates=1", "confirm.seeds=4", "confirm.max_seeds=4", "confirm.share=0.99"),
    *("confirm.repeats=0", "confirm.loss_margin=1.0"),
)


@pytest.mark.slow
@pytest.mark.many
def test_a_finished_study_is_ablated_and_its_report_says_where_the_saving_comes_from(
    tiny: Callable[..., list[str]], study_name: str
) -> None:
    assert run_here(tiny(*OVERRIDES)).returncode == 0
    folder = study_dir(study_name)
    before = (folder / "records.jsonl").read_bytes()
    assert "ablation" not in json.loads((folder / "summary.json").read_text())

    command = [sys.executable, "-m", "search.confirm", str(folder), "confirm.ablate=true"]
    done = run_here(command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "where the saving comes from, as factors: " in done.stdout
    after = (folder / "records.jsonl").read_bytes()
    assert after.startswith(before)
    places = [record.confirmation for record in records_of(study_name) if record.confirmation]
    ablated = {place.arm for place in places if place.purpose is Purpose.ABLATE}
    assert {"documented", "without shape", "without optimizer"} <= ablated

    content = json.loads((folder / "summary.json").read_text())
    jsonschema.validate(content, summary_schema(closed=True))
    found = content["ablation"]
    assert [group["group"] for group in found["groups"]] == ["shape", "optimizer"]
    assert (found["rounds"], found["why"]) == (3, "")
    assert 0 < found["winner_j"] < found["baseline_j"]
    assert 'id="figure-ablation"' in (folder / "report.html").read_text()

    assert run_here(command).returncode == 0
    assert (folder / "records.jsonl").read_bytes() == after
