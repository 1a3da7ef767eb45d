"""Makes the folder .venv that everything in the Makefile runs in, with the packages of constraints.txt.

    python tools/environment.py .venv [--torch pinned|installed|VERSION] [--wheels FOLDER]

`installed` uses the torch of the Python that runs this, by a line in a .pth file, and installs the rest
beside it. A folder of wheels takes the place of the registry. Needs nothing but Python itself.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import sysconfig
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST_TORCH = (2, 11)
PINNED, INSTALLED = "pinned", "installed"
# Packages that must fit torch's own version, and come with it.
OF_TORCH = ("torch", "triton")
EXTRAS = "dev,dashboard"


def constraints(pins: str, torch: str) -> str:
    """The pins that hold for this choice of torch: with another than the pinned one, none for what comes with
    it."""
    if torch == PINNED:
        return pins
    lines = [line for line in pins.splitlines() if line.partition("==")[0] not in OF_TORCH]
    chosen = [] if torch == INSTALLED else [f"torch=={torch}"]
    return "\n".join([*lines, *chosen, ""])


def check_torch(torch: str, of: str) -> None:
    """Leaves with one line unless `torch` is a version that the product runs with. `of`: whose it is."""
    found = re.match(r"(\d+)\.(\d+)", torch)
    if not found or (int(found[1]), int(found[2])) < OLDEST_TORCH:
        oldest = ".".join(map(str, OLDEST_TORCH))
        sys.exit(f"joulesearch needs torch {oldest} or newer, and {of} is {torch}; type TORCH=pinned")


def installed_torch() -> tuple[str, Path]:
    """(version, the folder that holds it and its metadata). Leaves with one line where this Python has
    none."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        sys.exit(
            f"TORCH=installed, but {sys.executable} has no torch; "
            "type PYTHON=FILE of a Python that has one, or TORCH=pinned"
        )
    return metadata.version("torch"), Path(spec.origin).parents[1]


def make(folder: Path, torch: str, wheels: str) -> None:
    chosen, before = folder / "torch-choice", None
    if chosen.is_file():
        before = chosen.read_text(encoding="utf-8")
    clear = ["--clear"] if before is not None and before != torch else []
    _run([sys.executable, "-m", "venv", *clear, str(folder)], "python -m venv failed")
    if torch == INSTALLED:
        _version, where = installed_torch()
        packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
        (packages / "installed-torch.pth").write_text(f"{where}\n", encoding="utf-8")
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    (folder / "constraints.txt").write_text(constraints(pins, torch), encoding="utf-8")
    chosen.write_text(torch, encoding="utf-8")
    if torch != INSTALLED:
        _pip(folder, wheels, "torch", instead=_without_torch(wheels) if wheels else "")
    _pip(folder, wheels, "-e", f"{ROOT}[{EXTRAS}]", instead="; type make wheels" if wheels else "")


def _without_torch(wheels: str) -> str:
    return (
        f"; lay its wheel into {wheels}, or type make TORCH=installed demo for the one that this Python has"
    )


def _pip(folder: Path, wheels: str, *what: str, instead: str) -> None:
    """`instead`: what to do where pip fails, after a semicolon."""
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    source = ["--no-index", "--find-links", wheels] if wheels else []
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *source, *what]
    where = f"from {wheels} alone" if wheels else "by pip"
    _run(command, f"{what[-1]} could not be installed {where}{instead}", folder / "constraints.txt")


def _run(command: list[str], failed: str, pins: Path | None = None) -> None:
    # As a variable, the pins hold for what a package is built with, too. pip splits it at spaces.
    variables = {} if pins is None else {"PIP_CONSTRAINT": os.path.relpath(pins, ROOT)}
    if subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}).returncode != 0:
        sys.exit(failed)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--torch", default=PINNED, help="pinned, installed, or a version")
    parser.add_argument("--wheels", default="", help="install from this folder alone")
    given = parser.parse_args()
    if given.torch == INSTALLED:
        check_torch(installed_torch()[0], f"that of {sys.executable}")
    elif given.torch != PINNED:
        check_torch(given.torch, "TORCH=")
    if given.wheels and not Path(given.wheels).is_dir():
        sys.exit(f"WHEELS={given.wheels} is no folder; type make wheels, or WHEELS= for the registry")
    make(given.folder.absolute(), given.torch, given.wheels and str(Path(given.wheels).absolute()))


if __name__ == "__main__":
    main()
