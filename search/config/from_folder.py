"""The configuration of a study that has been run, from the folder that it left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from model.config import with_current_keys
from search.config.complaints import explain
from search.config.composition import to_config
from search.config.schema import StudyConfig
from search.errors import UserError
from search.files.paths import reports_dir

# What may be set anew without making another study of it.
MAY_CHANGE = (
    "confirm.",
    "budget.run_",
    "budget.hang_s",
    "data.path",
    "device.wait",
    "storage",
    "study.on_change",
)


def config_of_study(folder: Path, overrides: Sequence[str]) -> StudyConfig:
    """Raises UserError or ConfigError. The study is looked for where the folder lies now, by its name."""
    path = folder / "config.yaml"
    if not path.is_file() or not (folder / "records.jsonl").is_file():
        raise UserError(
            f"{folder} is not the report folder of a study: expected records.jsonl and config.yaml in it"
        )
    for override in overrides:
        if "=" not in override or not override.startswith(MAY_CHANGE):
            raise UserError(
                f"{override!r} cannot be set here, since the study has begun; expected confirm.KEY=VALUE, "
                "such as confirm.seeds=8"
            )
    try:
        written = OmegaConf.to_container(OmegaConf.load(path))
        if not isinstance(written, dict):
            raise UserError(f"{path} must hold the keys of a study; put the file back that the study wrote")
        current = with_current_keys({str(key): value for key, value in written.items()})
        merged = OmegaConf.merge(
            OmegaConf.structured(StudyConfig), current, OmegaConf.from_dotlist(list(overrides))
        )
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())[:200]}") from error
    except OmegaConfBaseException as error:
        raise UserError(f"{path}: {explain(error, overrides)}") from error
    assert isinstance(merged, DictConfig)
    config = to_config(merged)
    place = folder.absolute()
    config.study.name = unquote(place.name)
    config.reports = None if place.parent == reports_dir() else str(place.parent)
    return config
