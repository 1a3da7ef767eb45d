"""The version of this product: what the source tree says, else that of the installed package."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

PROJECT = "joulesearch"
# Above this file: the repository's root, or where packages are installed.
AROUND = Path(__file__).resolve().parents[2]


def version(around: Path = AROUND) -> str | None:
    """The version of the code in `around`. A source tree is asked first: another copy may be installed."""
    return _source_version(around) or package_version(PROJECT)


def package_version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _source_version(around: Path) -> str | None:
    try:
        project = tomllib.loads((around / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return str(project["version"]) if project["name"] == PROJECT else None
    except (OSError, ValueError, LookupError, TypeError):
        return None
