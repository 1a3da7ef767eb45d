"""Whatever the current folder holds, the product and its worker import their own packages."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from search.files.paths import root, study_dir
from search.own_packages import python_like_this

# Each ends the process that imports it.
NAMES = ("model", "yaml", "torch", "numpy", "random", "json", "typing", "optuna", "rich", "signal")
TRAP = "import sys; print('imported from the current folder', __file__); sys.exit(99)\n"


@pytest.fixture(params=["a module", pytest.param("a package", marks=pytest.mark.slow)])
def trapped(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    for name in NAMES:
        if request.param == "a module":
            (tmp_path / f"{name}.py").write_text(TRAP)
        else:
            (tmp_path / name).mkdir()
            (tmp_path / name / "__init__.py").write_text(TRAP)
    return tmp_path


def run_in(folder: Path, command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["search.space", "+study=demo", "device=cpu"],
        *(
            pytest.param(one, marks=pytest.mark.slow)
            for one in (
                ["search", "--cfg", "job", "+study=demo"],
                ["search.report", "--help"],
                ["search.sample", "--help"],
                ["search.meter", "--idle", "0.1", "device=cpu"],
            )
        ),
    ],
    ids=lambda arguments: arguments[0],
)
def test_no_program_imports_what_the_current_folder_holds(trapped: Path, arguments: list[str]) -> None:
    done = run_in(trapped, [sys.executable, "-m", *arguments])
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert "imported from" not in done.stdout


@pytest.mark.slow
def test_a_study_and_its_worker_run_where_the_folder_holds_the_like(
    trapped: Path, tiny: Callable[..., list[str]], study_name: str
) -> None:
    done = run_in(trapped, tiny("budget.n_trials=1"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (study_dir(study_name) / "records.jsonl").is_file()


@pytest.mark.parametrize(
    "path", [pytest.param(".", marks=pytest.mark.slow), "", pytest.param("here", marks=pytest.mark.slow)]
)
def test_the_current_folder_on_pythonpath_does_no_harm_either(trapped: Path, path: str) -> None:
    for name in ("typing", "random", "signal", "json"):  # a package may import these as Python starts
        shutil.rmtree(trapped / name, ignore_errors=True)
        (trapped / f"{name}.py").unlink(missing_ok=True)
    named = {"here": str(trapped)}.get(path, path)
    done = run_in(trapped, [sys.executable, "-m", "search", "--cfg", "job"], PYTHONPATH=named)
    assert done.returncode == 0, done.stdout + done.stderr


def test_safe_path_leaves_out_even_what_python_itself_imports_first(tmp_path: Path) -> None:
    for name in ("types", "contextlib", "search"):
        (tmp_path / f"{name}.py").write_text(TRAP)
    done = run_in(tmp_path, [sys.executable, "-P", "-m", "search", "--version"])
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_another_model_that_was_imported_before_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("")
    done = run_in(tmp_path, [sys.executable, "-c", "import model, search"], PYTHONPATH=str(root()))
    assert str(tmp_path / "model.py") in done.stderr.splitlines()[-1]


def test_a_process_like_this_one_has_its_path_in_any_folder(tmp_path: Path) -> None:
    command, environment = python_like_this("search.worker.process")
    assert command[1:] == ["-P", "-m", "search.worker.process"]
    code = "import sys; print(*sys.path, sep='\\n')"
    done = run_in(tmp_path, [sys.executable, "-P", "-c", code], **environment)
    wanted = list(dict.fromkeys(os.path.abspath(entry) for entry in sys.path))
    assert done.stdout.splitlines()[: len(wanted)] == wanted
