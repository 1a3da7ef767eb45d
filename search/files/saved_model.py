"""The folder of a trained model, which appears whole or not at all.

model.safetensors   the weights
recipe.yaml         the run's configuration: `python -m search.train recipe=FOLDER/recipe.yaml` trains it
                    again
tokenizer.json      what encodes a prompt and decodes tokens
run.json            which run it was: its id in a file of records, its data, its loss
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from model.config import ConfigError, RunConfig, with_current_keys
from model.data.tokenizer import KeptTokenizer
from search.errors import UserError
from search.files.paths import absolute, shown
from search.files.whole_file import naming

WEIGHTS, RECIPE, TOKENIZER, RUN = "model.safetensors", "recipe.yaml", "tokenizer.json", "run.json"
_EXPECTED = "expected a folder that python -m search.train save=FOLDER has made"


@dataclass(frozen=True)
class SavedModel:
    """What a folder says of its model, whose weights are still to be read."""

    folder: Path
    config: RunConfig
    tokenizer: KeptTokenizer

    @property
    def weights(self) -> Path:
        return self.folder / WEIGHTS


def free_folder(typed: str) -> Path:
    """The folder that `save=typed` names, which is not there or empty, and can be made. Makes nothing. Raises
    UserError or FileError, one line."""
    folder = absolute(typed)
    with naming(folder, "made"):
        folder = Path(os.path.realpath(folder))
        if (
            folder.exists() or folder.is_symlink()
        ) and not folder.is_dir():  # a link in a circle is left over
            raise UserError(f"save={typed} is a file; type save=FOLDER, one that is not there yet")
        if folder.is_dir() and any(folder.iterdir()):
            holds = "a model already" if (folder / WEIGHTS).exists() else "other things"
            raise UserError(f"save={typed} holds {holds}; type save=OTHER, a folder that is not there yet")
        if folder.is_dir() and (folder.is_mount() or folder == Path.cwd()):
            raise UserError(f"save={typed} cannot be replaced as a whole; type save={Path(typed) / 'model'}")
        above = next(path for path in folder.parents if path.exists())
    with naming(above, "written into"):
        draft = _draft(above)
        draft.mkdir()
        draft.rmdir()
    return folder


def write_model(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make `folder` with these files, when they are on the disk. Raises FileError where it cannot; nothing is
    there then."""
    with naming(folder, "written"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = _draft(folder.parent)
        try:
            draft.mkdir()
            for name, content in files.items():
                with (draft / name).open("xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            draft.rename(folder)  # an empty folder is replaced
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _draft(above: Path) -> Path:
    return above / f".joulesearch-{uuid.uuid4().hex}.tmp"


def read_model(folder: Path) -> SavedModel:
    """Raises UserError or FileError where this is no folder of a trained model."""
    if not folder.is_dir():
        raise UserError(f"no folder {shown(folder)}: {_EXPECTED}")
    for name in (WEIGHTS, RECIPE, TOKENIZER):
        if not (folder / name).is_file():
            raise UserError(f"no {name} in {shown(folder)}: {_EXPECTED}")
    return SavedModel(folder, _config(folder / RECIPE), _tokenizer(folder / TOKENIZER))


def _config(path: Path) -> RunConfig:
    try:
        with naming(path, "read"):
            recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(recipe, Mapping):
            raise ConfigError("expected keys and values")
        parts = {part.name for part in fields(RunConfig)} - {"device"}  # which trained it, whatever runs it
        return RunConfig.from_mapping({k: v for k, v in with_current_keys(recipe).items() if k in parts})
    except (yaml.YAMLError, UnicodeDecodeError, ConfigError) as error:
        raise UserError(f"{shown(path)} is no run's configuration: {error}") from error


def _tokenizer(path: Path) -> KeptTokenizer:
    try:
        with naming(path, "read"):
            return KeptTokenizer.from_json(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{shown(path)} holds no tokenizer: {error}") from error
