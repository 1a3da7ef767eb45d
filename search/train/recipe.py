"""`recipe=` over the defaults, and the command line over both."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from model.config import ConfigError
from search.config.complaints import explain


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
    from search.study.recipe_files import named_recipe  # takes half a second

    recipe = named_recipe(composed.recipe, composed.trial)
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
