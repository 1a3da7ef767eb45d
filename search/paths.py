"""Where things are: the configuration that ships with the code, and the folder that reports go to."""

from pathlib import Path

from search.config import folder_name

_PACKAGE = Path(__file__).resolve().parent


def _in_repository() -> bool:
    return (_PACKAGE.parent / "conf" / "config.yaml").is_file()


def root() -> Path:
    """The repository, or the current folder where the package was installed without one."""
    return _PACKAGE.parent if _in_repository() else Path.cwd()


def config_dir() -> Path:
    return _PACKAGE.parent / "conf" if _in_repository() else _PACKAGE / "_conf"


def cache_dir() -> Path:
    return root() / ".cache"


def study_dir(study_name: str) -> Path:
    return root() / "reports" / folder_name(study_name)


def shown(path: Path) -> str:
    """Relative to the current folder where it lies below it: what a person can paste."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
