"""Reading best.yaml: a study's winner, which `python -m search.train recipe=...` trains again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf, open_dict

from model.config import ConfigError, with_current_keys
from search.config.study_files import yaml_problem
from search.files.paths import absolute

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
)


def with_recipe(composed: DictConfig, overrides: list[str]) -> DictConfig:
    """The recipe over the defaults, and the command line's own assignments over both."""
    if composed.recipe is None:
        return composed
    recipe = read_recipe(absolute(composed.recipe))
    typed = [text for text in overrides if not text.lstrip("+").startswith(("recipe=", "study="))]
    merged = OmegaConf.merge(composed, OmegaConf.create(recipe))
    assert isinstance(merged, DictConfig)
    with open_dict(merged):
        for text in typed:
            path = text.lstrip("+").partition("=")[0]
            if "/" not in path and OmegaConf.select(merged, path) is not None:
                OmegaConf.update(merged, path, OmegaConf.select(composed, path))
    return merged


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
