from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
import yaml
from records_factory import (
    BASELINE,
    CHEAP,
    METER,
    NVML,
    looking_up,
    make_record,
    make_study,
    read_beside,
    study_config,
)
from report_page import Page, page_of, report_of

from search.report.view.mixed import ReportError


def test_the_best_configuration_and_the_command_that_trains_it_are_there(
    demo_page: Page, demo_folder: Path
) -> None:
    assert "python -m search.train recipe=reports/demo/best.yaml seed=7" in demo_page.text
    assert "python -m search.confirm reports/demo" in demo_page.text
    best = next(record for record in make_study() if record.trial == 7)
    assert yaml.safe_load((demo_folder / "best.yaml").read_text()) == dict(best.config) | {"target_loss": 2.3}


def test_the_best_configuration_keeps_what_the_study_sets_for_all_of_its_runs(tmp_path: Path) -> None:
    shared = {
        "data": {"name": "shakespeare"},
        "meter": {"name": "auto"},
        "device": {"name": "cpu", "lock": "x"},
    }
    report_of(tmp_path, [CHEAP], study_config() | shared | {"storage": "sqlite:///study.db"})
    recipe = yaml.safe_load((tmp_path / "best.yaml").read_text())
    assert recipe == dict(CHEAP.config) | {"target_loss": 2.3} | shared | {"device": {"name": "cpu"}}


@pytest.mark.parametrize("elsewhere", [True, False])
def test_every_command_of_the_page_names_the_study_where_it_lies(tmp_path: Path, elsewhere: bool) -> None:
    config = study_config() | ({"reports": str(tmp_path)} if elsewhere else {})
    text = Page(report_of(tmp_path / "demo", [BASELINE, CHEAP], config).read_text()).text
    folder = f"{tmp_path}/demo" if elsewhere else "reports/demo"
    assert re.findall(r"recipe=(\S+)", text) == [f"{folder}/best.yaml"]
    assert re.findall(r"search\.confirm (\S+)", text) == [folder]


def test_a_folder_with_a_space_is_quoted_in_the_command(tmp_path: Path) -> None:
    html = report_of(tmp_path / "my study", [CHEAP]).read_text()
    assert "'recipe=reports/my study/best.yaml'" in Page(html).text


def test_a_recipe_says_in_its_first_line_what_it_took_beside_the_baseline(tmp_path: Path) -> None:
    page_of(tmp_path, BASELINE, make_record(1, energy_j=75.0, time_s=10.0))
    first = (tmp_path / "demo" / "best.yaml").read_text().splitlines()[0]
    assert first.startswith(
        "# Trial 1 of demo: one run, with 1.25 of the baseline's energy (75.0 J against 60.0 J"
    )
    assert first.endswith("which saves nothing.")


def test_passwords_of_urls_reach_no_file(tmp_path: Path) -> None:
    url = "postgresql://me:hunter2@db.example/optuna"
    leaky = dataclasses.replace(
        CHEAP,
        config={"storage": {"url": url}},
        reason=f"cannot reach {url}",
        provenance={"software": {"db": url}},
    )
    report_of(tmp_path, [leaky])
    for path in tmp_path.iterdir():
        assert "hunter2" not in path.read_text(), path.name
    assert "postgresql://me:***@db.example/optuna" in (tmp_path / "best.yaml").read_text()


def test_the_best_without_lookup_has_a_file_and_a_command_beside_a_lookup_like_winner(
    lookup_page: Page, lookup_folder: Path
) -> None:
    recipes = [
        yaml.safe_load((lookup_folder / name).read_text())
        for name in ("best.yaml", "best_without_lookup.yaml")
    ]
    assert [recipe["model"]["lookup_table"] for recipe in recipes] == ["bigram", "none"]
    assert recipes[1]["optimizer"]["lr"] == 3e-2
    assert "recipe=reports/demo/best_without_lookup.yaml seed=7" in lookup_page.text


def test_a_file_of_the_best_without_lookup_goes_when_the_winner_is_lookup_like_no_more(
    tmp_path: Path,
) -> None:
    table = looking_up(make_record(2, energy_j=6.0, time_s=3.0))
    report_of(tmp_path, [CHEAP, table])
    assert (tmp_path / "best_without_lookup.yaml").is_file()
    report_of(tmp_path, [CHEAP, table, make_record(3, energy_j=5.0, time_s=3.0)])
    assert not (tmp_path / "best_without_lookup.yaml").exists()


def test_with_lookup_like_trials_alone_there_is_no_file_of_another_best(tmp_path: Path) -> None:
    report_of(tmp_path, [BASELINE, looking_up(CHEAP)])
    assert (tmp_path / "best.yaml").is_file()
    assert not (tmp_path / "best_without_lookup.yaml").exists()


def test_drawing_again_replaces_the_files_and_leaves_no_drafts(tmp_path: Path) -> None:
    report_of(tmp_path, [CHEAP])
    report_of(tmp_path, [BASELINE, CHEAP])
    assert {path.name for path in tmp_path.iterdir()} == {
        "report.html",
        "summary.json",
        "trials.csv",
        "best.yaml",
    }
    assert json.loads((tmp_path / "summary.json").read_text())["baseline"]["trial"] == 0


def test_records_that_mix_meters_write_nothing(tmp_path: Path) -> None:
    other = dataclasses.replace(CHEAP, trial=2, meter=dataclasses.replace(METER, name="nvml"))
    with pytest.raises(ReportError):
        report_of(tmp_path / "demo", [CHEAP, other])
    assert not (tmp_path / "demo").exists()


def test_passwords_in_reasons_of_side_meters_reach_no_page(tmp_path: Path) -> None:
    leaky = read_beside(CHEAP, NVML, 1.0, counted_energy_j=None, reason="cannot reach redis://me:hunter2@x")
    report_of(tmp_path, [leaky])
    for path in tmp_path.iterdir():
        assert "hunter2" not in path.read_text(), path.name
