"""What `recipe=` names: a file, the best of a study's folder, or one of its trials."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from omegaconf import DictConfig, OmegaConf
from records_factory import TARGET, make_record

from model.config import ConfigError
from search.config.schema import StudyConfig
from search.errors import UserError
from search.files.records import append_record
from search.record.outcome import Role
from search.record.target import TO_THE_END
from search.study.recipe_files import PARTS, find_recipe, read_recipe
from search.study.trial_recipe import in_words
from search.train.recipe import with_recipe


def recipe(folder: Path, path: str) -> Path:
    file = folder / "best.yaml"
    file.write_text(yaml.safe_dump({"seed": 3, "data": {"name": "text", "path": path}}))
    return file


def test_a_text_beside_its_recipe_is_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "text.txt").write_text("so it goes")
    file = recipe(tmp_path / "there", "text.txt")
    monkeypatch.chdir(tmp_path)
    assert read_recipe(Path("there/best.yaml"))["data"]["path"] == str(tmp_path / "there" / "text.txt")
    assert read_recipe(file)["seed"] == 3


def test_another_path_is_taken_as_it_stands(tmp_path: Path) -> None:
    for path in (str(tmp_path / "elsewhere.txt"), "nowhere.txt", "~/text.txt"):
        assert read_recipe(recipe(tmp_path, path))["data"]["path"] == path


def test_a_recipe_of_before_is_read_with_the_keys_of_today(tmp_path: Path) -> None:
    file = tmp_path / "best.yaml"
    file.write_text(yaml.safe_dump({"model": {"n_layer": 2, "bigram_table": True, "table_order": 3}}))
    assert read_recipe(file)["model"] == {"n_layer": 2, "lookup_table": "trigram"}


# ---- a study's folder, and its trials


CONFIG = {
    "data": {"name": "text", "path": "mine.txt"},
    "meter": {"name": "cpu_time"},
    "device": {"name": "cpu", "id": None, "threads": 2, "wait": False},
    "budget": {"n_trials": 9},
}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Trials 0 to 2 and 5; the first looked for the target."""
    folder = tmp_path / "study"
    folder.mkdir()
    for trial in (0, 1, 2, 5):
        record = make_record(trial, params={"model.n_layer": trial + 1})
        if trial == 0:
            record = replace(record, role=Role.TARGET, target_loss=TO_THE_END)
        append_record(folder / "records.jsonl", record)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    (folder / "best.yaml").write_text(yaml.safe_dump({"seed": 3}))
    return folder


def test_a_trial_is_its_whole_configuration_with_what_its_study_set(study: Path) -> None:
    recipe = find_recipe(study, 2)
    record = make_record(2, params={"model.n_layer": 3})
    assert recipe == {
        **record.config,
        "target_loss": TARGET,
        "data": CONFIG["data"],
        "meter": CONFIG["meter"],
        "device": {"name": "cpu", "threads": 2},
    }
    assert set(recipe) <= set(PARTS)


def test_the_trial_that_looked_for_the_target_looks_for_it_again(study: Path) -> None:
    assert find_recipe(study, 0)["target_loss"] == "auto"


def test_a_text_that_lies_beside_its_study_is_found(study: Path) -> None:
    (study / "mine.txt").write_text("so it goes")
    assert find_recipe(study, 1)["data"]["path"] == str(study / "mine.txt")


def test_a_studys_folder_is_its_best(study: Path) -> None:
    assert find_recipe(study, None) == find_recipe(study / "best.yaml", None) == {"seed": 3}


def refusal(place: Path, trial: int | None) -> str:
    with pytest.raises((ConfigError, UserError)) as refused:
        find_recipe(place, trial)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_what_is_not_there_is_said_with_what_is(study: Path, tmp_path: Path) -> None:
    assert refusal(study, 4).endswith("study has no trial 4; it has 0 to 2, 5")
    assert f"type recipe={study} trial=1" in refusal(study / "best.yaml", 1)
    assert "type recipe=reports/NAME trial=1" in refusal(tmp_path / "nowhere", 1)
    assert "it has no best.yaml and no records.jsonl" in refusal(tmp_path, None)
    (study / "best.yaml").unlink()
    assert f"type recipe={study} trial=N" in refusal(study, None)
    (study / "config.yaml").unlink()
    assert "config.yaml does not say what trial 1 was trained on" in refusal(study, 1)
    (study / "config.yaml").write_text("[1]")
    assert "expected a YAML mapping" in refusal(study, 1)
    (study / "records.jsonl").write_text("x")
    assert "records.jsonl, line 1" in refusal(study, 1)


@pytest.mark.parametrize(
    ("trials", "words"), [([], "none"), ([3], "3"), ([2, 0, 1, 1], "0 to 2"), ([0, 2, 3], "0, 2 to 3")]
)
def test_trials_in_words(trials: list[int], words: str) -> None:
    assert in_words(trials) == words


# ---- the command line wins


def merged(folder: Path, recipe: dict[str, object], *typed: str) -> StudyConfig:
    """What comes of a recipe and of values typed beside it."""
    file = folder / "best.yaml"
    file.write_text(yaml.safe_dump(recipe))
    composed = OmegaConf.merge(
        OmegaConf.structured(StudyConfig), OmegaConf.from_dotlist([*typed, f"recipe={file}", "study.name=x"])
    )
    assert isinstance(composed, DictConfig)
    built = OmegaConf.to_object(with_recipe(composed, list(typed)))
    assert isinstance(built, StudyConfig)
    return built


def test_what_is_typed_wins_over_a_recipe_also_where_that_says_null(tmp_path: Path) -> None:
    recipe: dict[str, object] = {"model": {"n_kv_head": None, "n_layer": 3}, "seed": 3}
    config = merged(tmp_path, recipe, "model.n_kv_head=2", "seed=9")
    assert (config.model.n_kv_head, config.model.n_layer, config.seed) == (2, 3, 9)
    assert merged(tmp_path, {"model": {"n_kv_head": 2}}, "model.n_kv_head=null").model.n_kv_head is None


def test_a_key_that_no_version_has_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"recipe=.*n_layers"):
        merged(tmp_path, {"model": {"n_layers": 3}})


def test_a_baseline_and_a_recipe_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="drop one of them"):
        with_recipe(OmegaConf.create({"recipe": str(tmp_path), "trial": None}), ["baseline=nanogpt_124m"])


def test_a_trial_of_no_study_is_refused() -> None:
    with pytest.raises(ConfigError, match="type recipe=reports/NAME trial=3"):
        with_recipe(OmegaConf.create({"recipe": None, "trial": 3}), [])
