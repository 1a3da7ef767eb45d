"""Where things are: the configuration that ships with the code, and the folder that reports go to."""

from pathlib import Path

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
    return root() / ".cache"


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
