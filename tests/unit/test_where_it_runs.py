"""How it is installed: which pins hold, which wheels are needed, what an image holds."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tools"))

from environment import check_torch, constraints  # noqa: E402
from wheels import requirements  # noqa: E402

PINS = (ROOT / "constraints.txt").read_text()
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def pinned(pins: str) -> dict[str, str]:
    lines = [line.split("==") for line in pins.splitlines() if not line.startswith("#")]
    return {name.lower().replace("_", "-"): version for name, version in lines}


def test_all_but_torch_and_what_comes_with_it_stays_pinned_whichever_torch_is_chosen() -> None:
    every = pinned(PINS)
    assert constraints(PINS, "pinned") == PINS
    others = {name: version for name, version in every.items() if name not in ("torch", "triton")}
    assert len(others) == len(every) - 2
    assert pinned(constraints(PINS, "installed")) == others
    assert pinned(constraints(PINS, "2.11.0")) == others | {"torch": "2.11.0"}


@pytest.mark.parametrize("torch", ["2.11.0", "2.13.0+cpu", "2.11.0a0+abc.nv26.02", "3.0.1"])
def test_a_torch_of_2_11_or_newer_will_do(torch: str) -> None:
    check_torch(torch, "yours")


@pytest.mark.parametrize("torch", ["2.10.1", "1.13", "git"])
def test_an_older_torch_ends_in_a_line_that_says_what_to_type(torch: str) -> None:
    with pytest.raises(
        SystemExit, match=f"needs torch 2.11 or newer, and yours is {torch}; type TORCH=pinned"
    ):
        check_torch(torch, "yours")


def test_wheels_are_those_of_all_that_is_installed_except_torch_and_each_is_pinned() -> None:
    names = {re.split(r"[^\w-]", one)[0].lower() for one in requirements(PYPROJECT)}
    assert {"optuna", "pytest", "optuna-dashboard", "submitit", "hatchling"} <= names
    assert not names & {"torch", "joulesearch", "ray"}
    unpinned = names - pinned(PINS).keys()
    assert unpinned <= {"editables", "setuptools"}  # of the build alone, or of torch


def test_an_image_is_built_on_one_that_is_named_by_whoever_builds_it() -> None:
    """Nobody here knows the digest of an image, and a default would be one that nobody has checked."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith(("ARG", "FROM"))] == ["ARG BASE", "FROM ${BASE}"]
    assert not re.search(r"sha256:[0-9a-f]", "".join(lines))


def test_an_image_holds_every_file_that_git_tracks() -> None:
    """Otherwise its records would say that the code is not the commit's."""
    command = ["git", "ls-files", "--cached", "--ignored", "--exclude-from=.dockerignore"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    assert done.stdout == ""
