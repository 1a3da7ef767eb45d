"""A study's `config.yaml`, as it was written when the study ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from search.errors import UserError
from search.files.whole_file import naming


def read_config(path: Path) -> dict[str, Any]:
    """What it holds, empty where there is no such file. Raises UserError where it is no mapping, and
    FileError where it cannot be read.

    A group with a reference that only resolves while a study runs is kept as it is written.
    """
    if not path.is_file():
        return {}
    try:
        with naming(path, "read"):
            config = OmegaConf.load(path)
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise UserError(f"{path}: expected a YAML mapping, got {' '.join(str(error).split())}") from error
    if not isinstance(config, DictConfig):
        raise UserError(f"{path}: expected a YAML mapping, got a list")
    return {str(key): _group(config, key) for key in config}


def _group(config: DictConfig, key: Any) -> Any:
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    try:
        value = config[key]
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    except OmegaConfBaseException:
        return plain[key]
