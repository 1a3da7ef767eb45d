"""Recipes that a study tries first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from model.config import ConfigError
from search.config.schema import StudyConfig, StudySection
from search.errors import UserError
from search.sampling.proposal import cannot_run
from search.study.first import first_recipes
from search.study.recipe_files import named_recipe, shipped_recipes

OWN = StudyConfig()


def recipe_file(folder: Path, **parts: Any) -> str:
    path = folder / "known.yaml"
    path.write_text(yaml.safe_dump(parts))
    return str(path)


def values(*names: str) -> list[dict[str, Any]]:
    config = replace(OWN, study=StudySection(name="a study", first=list(names)))
    return [dict(recipe.values) for recipe in first_recipes(config)]


def test_a_recipe_brings_its_training_and_leaves_the_problem_to_the_study(tmp_path: Path) -> None:
    name = recipe_file(
        tmp_path,
        train={"max_steps": 77},
        evaluation={"context": 128},
        data={"name": "text"},
        target_loss=1.0,
        seed=5,
    )
    (found,) = values(name)
    assert found["train"]["max_steps"] == 77
    assert found["train"]["batch_size"] == OWN.train.batch_size
    assert found["evaluation"] == OWN.run_values()["evaluation"]
    assert "data" not in found


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"train": {"max_step": 77}}, "max_step"),
        ({"train": {"max_steps": 0}}, "train.max_steps"),
        ({"nonsense": 1}, "unknown part 'nonsense'"),
    ],
)
def test_a_recipe_with_a_mistake_is_refused_in_one_line(
    tmp_path: Path, parts: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=r"study\.first: ") as caught:
        values(recipe_file(tmp_path, **parts))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_that_is_nothing_says_what_it_could_be() -> None:
    with pytest.raises(ConfigError, match="recipe=reports/nowhere is not there; expected a study's folder"):
        named_recipe("reports/nowhere")


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_recipe_that_ships_trains_on_any_problem(name: str) -> None:
    (found,) = values(name)
    assert cannot_run(found) is None
    assert set(named_recipe(name)) <= {"model", "optimizer", "schedule", "train"}


def test_a_recipe_brings_what_its_gpus_were_held_to_and_not_its_device(tmp_path: Path) -> None:
    name = recipe_file(tmp_path, device={"name": "cuda", "threads": 8, "power_limit_w": 300.0})
    (found,) = values(name)
    assert found["device"] == {"power_limit_w": 300.0, "sm_clock_mhz": None}
