"""The files that a configuration is composed from, the product's own and those of --config-dir: which there
are, and what one of them lacks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from search.config.command_line import config_dirs
from search.errors import UserError
from search.files.paths import config_dir, shown

HEADER = "# @package _global_"


def folders(arguments: Sequence[str]) -> list[Path]:
    """The folders of configuration, a person's own first."""
    return [*config_dirs(arguments), config_dir()]


def options(group: str, arguments: Sequence[str] = ()) -> list[str]:
    """What a group offers."""
    paths = (path for folder in folders(arguments) for path in (folder / group).glob("*.yaml"))
    return sorted({path.stem for path in paths if path.is_file()})


def study_names(arguments: Sequence[str]) -> list[str]:
    """The studies that a command line names."""
    named = [a.partition("=")[2] for a in arguments if re.match(r"\+*study=", a)]
    return [name for text in named for name in re.split(r"[\[\],\s]+", text) if name]


def check_studies(arguments: Sequence[str]) -> None:
    """Raises UserError where --config-dir is no folder, or a study that is named lacks something for which
    Hydra's own message would name neither file nor reason."""
    for folder in config_dirs(arguments):
        if not folder.is_dir():
            raise UserError(
                f"--config-dir must be a folder that holds study/NAME.yaml or other groups, and {folder} is "
                f"{'a file' if folder.exists() else 'not there'}"
            )
        for name in study_names(arguments):
            path = folder / "study" / f"{name}.yaml"
            if path.is_file():
                _check_study(path)
            elif not (config_dir() / "study" / f"{name}.yaml").is_file():
                _say_where(folder, name)


def _check_study(path: Path) -> None:
    problem = problem_of(path)
    if problem:
        raise UserError(problem)
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    first = next((line.strip() for line in lines if line.strip()), "")
    if not re.fullmatch(r"#\s*@package\s+_global_", first):
        raise UserError(f"{shown(path)} must begin with the line '{HEADER}': a study sets keys everywhere")
    if re.search(r"^hydra\s*:", "\n".join(lines), re.M):
        raise UserError(
            f"{shown(path)} sets hydra, whose settings are fixed here; drop it, and type "
            "reports=FOLDER for where studies are written"
        )


def _say_where(folder: Path, name: str) -> None:
    """Raises UserError where a study's file lies in a place that Hydra does not search."""
    there = folder / "study" / f"{name}.yaml"
    for found in (folder / f"{name}.yaml", folder / f"{name}.yml", folder / "study" / f"{name}.yml"):
        if not found.is_file():
            continue
        if found.suffix == ".yaml" and folder.name == "study":
            raise UserError(f"--config-dir is the folder above study/; type --config-dir {folder.parent}")
        raise UserError(f"{shown(found)} would be read as {shown(there)}; move it there")


def problem_of(path: Path) -> str | None:
    """What keeps a file from being read as keys and values, with file and line."""
    try:
        content = OmegaConf.load(path)
    except yaml.MarkedYAMLError as error:
        return yaml_problem(error, path)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        return f"{shown(path)}, line {line}: not UTF-8; save it as UTF-8"
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        return f"{shown(path)}: {' '.join(str(error).split())[:200]}"
    except OSError as error:
        return f"{shown(path)} must hold keys and values (key: value): {error.strerror or error}"
    if not isinstance(content, DictConfig):
        return f"{shown(path)} must hold keys and values (key: value), and it holds a list"
    return None


def yaml_problem(error: yaml.MarkedYAMLError, path: Path | None = None) -> str:
    """A broken YAML file in one line, with file and line."""
    mark = error.problem_mark or error.context_mark
    name = shown(path or Path(mark.name if mark is not None else "a configuration file"))
    at = f", line {mark.line + 1}" if mark is not None else ""
    why = " ".join(str(error.problem or error.context or "not YAML").split())
    return f"{name}{at}: {why}; put the YAML right there"


def broken_file(arguments: Sequence[str]) -> str | None:
    """What is wrong with the first file that cannot be read, for errors that do not name it."""
    paths = (path for folder in folders(arguments) for path in sorted(folder.rglob("*.yaml")))
    return next((problem for path in paths if (problem := problem_of(path))), None)


def where_set(key: str, arguments: Sequence[str]) -> str:
    """', in FILE, line N' of a study that is named, where it sets a key of that name; or nothing."""
    last = re.escape(key.rpartition(".")[2])
    for path in _named_files(arguments):
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if re.match(rf"\s*['\"]?{last}['\"]?\s*:", line):
                return f" ({shown(path)}, line {number})"
    return ""


def _named_files(arguments: Sequence[str]) -> Iterator[Path]:
    for name in study_names(arguments):
        found = (folder / "study" / f"{name}.yaml" for folder in folders(arguments))
        yield from (path for path in found if path.is_file())
