"""best.yaml: a study's winner as a file that `python -m search.train recipe=...` trains again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from model.config import ConfigError
from search.config import StudyConfig
from search.trial import Record

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


def best_record(records: Sequence[Record]) -> Record | None:
    """The feasible record with the least of the first objective, the baseline only where nothing beats it."""
    feasible = [record for record in records if record.feasible and record.values]
    return min(feasible, key=lambda record: next(iter(record.values.values())), default=None)


def recipe_yaml(record: Record, config: StudyConfig) -> str:
    """The record's configuration, its seed, target, data, device and meter, and what it gave."""
    whole = asdict(config)
    device = {"name": whole["device"]["name"], "threads": whole["device"]["threads"]}
    recipe = dict(record.config) | {
        "target_loss": record.target_loss,
        "data": whole["data"],
        "device": device,
        "meter": whole["meter"],
    }
    kind = record.meter.kind.value
    values = "\n".join(f"#   {name}: {value:.6g} ({kind})" for name, value in record.values.items())
    head = f"# Trial {record.trial} of study {config.study.name!r}:\n{values}\n"
    head += "# python -m search.train recipe=THIS_FILE\n"
    return head + yaml.safe_dump(recipe, sort_keys=False)


def read_recipe(path: Path) -> dict[str, Any]:
    """The parts of a configuration that a recipe sets. Raises ConfigError with one line."""
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"recipe={path} cannot be read: {error.strerror}; a study writes best.yaml"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"recipe={path} is not YAML: {' '.join(str(error).split())[:120]}") from error
    if not isinstance(recipe, Mapping):
        raise ConfigError(f"recipe={path} must be a mapping with {', '.join(PARTS)}")
    unknown = sorted(set(map(str, recipe)) - set(PARTS))
    if unknown:
        raise ConfigError(
            f"recipe={path} has an unknown part {unknown[0]!r}; a recipe has {', '.join(PARTS)}"
        )
    return dict(recipe)
