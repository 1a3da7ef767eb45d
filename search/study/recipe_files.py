"""What a recipe is read from: a study's winner (its best.yaml), any of its trials, one that ships, or another
file of the same form."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from model.config import ConfigError, with_current_keys
from search.config.study_files import yaml_problem
from search.files.paths import absolute, recipes_dir, shown
from search.report.findings.recipes import BEST
from search.study.trial_recipe import RECORDS, read_trial

PARTS = (
    "model",
    "optimizer",
    "schedule",
    "train",
    "evaluation",
    "seed",
    "target_metric",
    "target_loss",
    "target_accuracy",
    "data",
    "device",
    "meter",
    "to_the_end",
)


def named_recipe(name: str, trial: int | None = None) -> dict[str, Any]:
    """By a person's name for it: a folder, a file, or one of `conf/recipes/`. Raises as `find_recipe`."""
    place = absolute(name)
    if place.exists() or trial is not None:
        return find_recipe(place, trial)
    if name in shipped_recipes():
        return read_recipe(recipes_dir() / f"{name}.yaml")
    shipped = f", or one that ships: {', '.join(shipped_recipes())}" if shipped_recipes() else ""
    raise ConfigError(f"recipe={name} is not there; expected a study's folder, a file{shipped}")


def shipped_recipes() -> list[str]:
    """The recipes of `conf/recipes/`, by name."""
    return sorted(path.stem for path in recipes_dir().glob("*.yaml"))


def find_recipe(place: Path, trial: int | None) -> dict[str, Any]:
    """The parts of a configuration that a file sets, or the best of a study's folder, or one of its trials.
    Raises ConfigError or UserError with one line."""
    if trial is not None:
        return _with_its_paths(read_trial(place, trial), place / BEST)
    if not place.is_dir():
        return read_recipe(place)
    if (place / BEST).is_file():
        return read_recipe(place / BEST)
    if (place / RECORDS).is_file():
        raise ConfigError(
            f"{shown(place)} has no {BEST}, since no trial of it reached the target; type "
            f"recipe={shown(place)} trial=N for one of them"
        )
    raise ConfigError(f"recipe={shown(place)} is no folder of a study: it has no {BEST} and no {RECORDS}")


def read_recipe(path: Path) -> dict[str, Any]:
    """The parts of a configuration that a recipe sets. Raises ConfigError with one line."""
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"recipe={path} cannot be read: {error.strerror}; a study writes best.yaml"
        ) from error
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"recipe: {yaml_problem(error, path)}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"recipe={path} is not YAML: {' '.join(str(error).split())[:120]}") from error
    if not isinstance(recipe, Mapping):
        raise ConfigError(f"recipe={path} must be a mapping with {', '.join(PARTS)}")
    unknown = sorted(set(map(str, recipe)) - set(PARTS))
    if unknown:
        raise ConfigError(
            f"recipe={path} has an unknown part {unknown[0]!r}; a recipe has {', '.join(PARTS)}"
        )
    return _with_its_paths(with_current_keys(recipe), path)


def _with_its_paths(recipe: dict[str, Any], path: Path) -> dict[str, Any]:
    """A text that lies beside the recipe is found from any folder."""
    data = recipe.get("data")
    if isinstance(data, Mapping) and isinstance(data.get("path"), str):
        beside = path.absolute().parent / data["path"]
        if beside.is_file():
            recipe["data"] = dict(data) | {"path": str(beside)}
    return recipe
