"""Where things are: the configuration that ships with the code, caches, and the folder that reports go to."""

import os
from pathlib import Path

from search.files.version import PROJECT

CACHE_VARIABLE = "JOULESEARCH_CACHE_DIR"
_PACKAGE = Path(__file__).resolve().parents[1]  # search/


def _in_repository() -> bool:
    return (_PACKAGE.parent / "conf" / "config.yaml").is_file()


def root() -> Path:
    """The repository, or the current folder where the package was installed without one."""
    return _PACKAGE.parent if _in_repository() else Path.cwd()


def config_dir() -> Path:
    return _PACKAGE.parent / "conf" if _in_repository() else _PACKAGE / "_conf"


def recipes_dir() -> Path:
    """The recipes that ship. Not `recipe`: Hydra would take recipe=... for a choice among the files of a
    folder of that name."""
    return config_dir() / "recipes"


def cache_dir() -> Path:
    """Where data are kept that were downloaded or prepared: beside the code or, where this user cannot write
    there, among the user's own caches. `JOULESEARCH_CACHE_DIR` names another folder."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return absolute(named)
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return first_writable(root() / ".cache", Path(caches).absolute() / PROJECT)


def first_writable(*folders: Path) -> Path:
    """The first that this user can write to, or make; where none is, the first."""
    return next((folder for folder in folders if _is_writable(folder)), folders[0])


def _is_writable(folder: Path) -> bool:
    there = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    return os.path.isdir(there) and os.access(there, os.W_OK | os.X_OK)


def reports_dir(reports: str | None = None) -> Path:
    """What a person named, or the repository's own."""
    return root() / "reports" if reports is None else absolute(reports)


def folder_name(name: str) -> str:
    """The study's folder: its name, with what a file name cannot hold (and a leading dot) percent-encoded."""
    quoted = name.replace("%", "%25").replace("/", "%2F")
    return f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted


def study_dir(study_name: str, reports: str | None = None) -> Path:
    return reports_dir(reports) / folder_name(study_name)


def absolute(path: str) -> Path:
    """A path that a person typed, with ~ and relative to the current folder."""
    return Path(path).expanduser().absolute()


def current_folder() -> Path:
    """Raises UserError where it was removed."""
    from search.errors import UserError

    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise UserError("the current folder was removed; type cd to one that is there") from error


def shown(path: Path) -> str:
    """Relative to the current folder where it lies below it: what a person can paste."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
