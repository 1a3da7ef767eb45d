"""Recipes that a study tries before anything else (`study.first`), on its own data and target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from model.config import ConfigError, RunConfig
from search.config.schema import StudyConfig
from search.errors import UserError
from search.space.canonical import SEARCHABLE
from search.study.recipe_files import named_recipe
from search.study.search_settings import FirstRecipe


def first_recipes(config: StudyConfig) -> tuple[FirstRecipe, ...]:
    """What the recipes of `study.first` are here. Raises UserError for one that cannot be read, or has a
    value that no configuration can have."""
    return tuple(FirstRecipe(name, _values(name, config)) for name in config.study.first)


def _values(name: str, config: StudyConfig) -> Mapping[str, Any]:
    """The study's own configuration with the recipe's model, optimizer, schedule and training. Evaluation,
    data and target stay the study's, or the run could not be compared."""
    try:
        recipe = named_recipe(name)
        values = config.run_values()
        held = values["device"]
        for part in SEARCHABLE:
            values[part] = {**values[part], **recipe.get(part, {})}
        # A recipe also says which device it was trained on, which is not the study's.
        values["device"] = {key: values["device"][key] for key in held}
        return asdict(RunConfig.from_mapping(values))
    except (ConfigError, UserError) as error:
        raise UserError(f"study.first: {error}") from error
