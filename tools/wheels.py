"""Fills a folder with the wheels of all that the product and its tests need, except torch, for a machine
without a network and with the same system and version of Python.

    python tools/wheels.py wheels
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from environment import EXTRAS, INSTALLED, ROOT, constraints

# What torch needs itself, but for CUDA's libraries: a wheel of it can then be laid beside these.
OF_TORCH = ("filelock", "fsspec", "jinja2", "networkx", "setuptools", "sympy", "typing-extensions")
# What an editable installation is built with, beside hatchling.
OF_BUILD = ("editables",)


def requirements(pyproject: dict[str, Any]) -> list[str]:
    """Of the product, its tests and its build; without torch and the product itself."""
    project = pyproject["project"]
    wanted = [*pyproject["build-system"]["requires"], *project["dependencies"]]
    for extra in EXTRAS.split(","):
        wanted += _of_extra(project, extra)
    return sorted({*OF_TORCH, *OF_BUILD, *(one for one in wanted if _name(one) != "torch")})


def _of_extra(project: dict[str, Any], extra: str) -> Iterator[str]:
    for one in project["optional-dependencies"][extra]:
        if _name(one) == project["name"]:
            for other in re.findall(r"[\w-]+", one.partition("[")[2]):
                yield from _of_extra(project, other)
        else:
            yield one


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower()


def fill(folder: Path) -> None:
    wanted = requirements(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8")))
    pins = constraints((ROOT / "constraints.txt").read_text(encoding="utf-8"), INSTALLED)
    with tempfile.TemporaryDirectory(prefix="joulesearch-wheels-") as temporary:
        builder, pinned = Path(temporary) / "venv", Path(temporary) / "constraints.txt"
        pinned.write_text(pins, encoding="utf-8")
        _run(sys.executable, "-m", "venv", builder)
        pip = (builder / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check")
        _run(*pip, "wheel", "--wheel-dir", folder, "--constraint", pinned, *wanted)


def _run(*command: object) -> None:
    if subprocess.run([str(part) for part in command]).returncode != 0:
        sys.exit("the wheels could not be fetched or built; the lines above say why")


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("type: python tools/wheels.py FOLDER")
    folder = Path(sys.argv[1])
    fill(folder)
    wheels = list(folder.glob("*.whl"))
    size_mb = sum(wheel.stat().st_size for wheel in wheels) / 1e6
    print(f"{folder}/: {len(wheels)} wheels, {size_mb:.0f} MB")


if __name__ == "__main__":
    main()
