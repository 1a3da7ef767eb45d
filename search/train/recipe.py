"""What `recipe=` names, which `python -m search.train` trains again: a study's winner (its best.yaml), any of
its trials, or another file of the same form."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from model.config import ConfigError, with_current_keys
from search.config.complaints import explain
from search.config.study_files import yaml_problem
from search.files.paths import absolute, shown
from search.report.findings.recipes import BEST
from search.train.trial import RECORDS, read_trial

PARTS = (
    "model",
    "optimizer",
    "schedule",
    "train",
    "evaluation",
    "seed",
    "target_loss",
    "data",
    "device",
    "meter",
    "to_the_end",
)


def with_recipe(composed: DictConfig, overrides: list[str]) -> DictConfig:
    """The recipe over the defaults, and the command line's own assignments over both. Raises ConfigError or
    UserError where there is no such recipe."""
    if composed.recipe is None:
        if composed.trial is not None:
            raise ConfigError(
                f"trial={composed.trial} does not say of which study; type recipe=reports/NAME "
                f"trial={composed.trial}"
            )
        return composed
    if any(text.lstrip("+").startswith("baseline=") for text in overrides):
        raise ConfigError("baseline= and recipe= both say what to train; drop one of them")
    recipe = find_recipe(absolute(composed.recipe), composed.trial)
    typed = [text for text in overrides if not text.lstrip("+").startswith(("recipe=", "study="))]
    try:
        merged = OmegaConf.merge(composed, OmegaConf.create(recipe))
    except OmegaConfBaseException as error:
        raise ConfigError(f"recipe={composed.recipe}: {explain(error, ())}") from error
    assert isinstance(merged, DictConfig)
    with open_dict(merged):
        for text in typed:
            path = text.lstrip("+").partition("=")[0]
            if "/" not in path and _has(composed, path):
                OmegaConf.update(merged, path, OmegaConf.select(composed, path))
    return merged


def _has(config: DictConfig, path: str) -> bool:
    """Whether there is such a key, be it null."""
    above, _, key = path.rpartition(".")
    group = OmegaConf.select(config, above) if above else config
    return isinstance(group, DictConfig) and key in group


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
