"""A study of one's own: where its file is, what it lacks, where its report goes."""

import json
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import run_here

from search.files.paths import root

HEAD = "# @package _global_\n"
NAMED = HEAD + "study:\n  name: mine\n"
BROKEN = "model:\n  n_layer: {type: int, low: 1, high: 3\noptimizer: 3\n"

# What study/mine.yaml holds (and other files), and what is said of it.
LACKING: dict[str, tuple[dict[str, str | bytes], str]] = {
    "the package line": (
        {"study/mine.yaml": "study:\n  name: mine\n"},
        "begin with the line '# @package _global_'",
    ),
    "the package line before other comments": (
        {"study/mine.yaml": "# Mine\n" + NAMED},
        "must begin with the line",
    ),
    "everything": ({"study/mine.yaml": ""}, "must begin with the line"),
    "a name": ({"study/mine.yaml": HEAD + "target_loss: 2\n"}, "'study: {name: mine}'"),
    "a closing bracket": ({"study/mine.yaml": NAMED + "data: [a\nseed: 2\n"}, "mine.yaml, line 5: "),
    "spaces for a tab": ({"study/mine.yaml": HEAD + "study:\n\tname: x\n"}, "mine.yaml, line 3: "),
    "a mapping": ({"study/mine.yaml": "- a\n"}, "it holds a list"),
    "UTF-8": ({"study/mine.yaml": HEAD.encode() + b"study:\n  name: \xff\n"}, "mine.yaml, line 3: not UTF-8"),
    "a key only once": (
        {"study/mine.yaml": NAMED + "study:\n  seed: 1\n"},
        "line 4: found duplicate key study",
    ),
    "the right key": (
        {"study/mine.yaml": NAMED + "budget:\n  n_trails: 3\n"},
        "mine.yaml, line 5); did you mean",
    ),
    "the right place for a name": ({"study/mine.yaml": HEAD + "name: x\n"}, "'name' ("),
    "a list": ({"study/mine.yaml": NAMED + "meter:\n  also: roofline\n"}, "meter.also must be a list"),
    "a number": (
        {"study/mine.yaml": NAMED + "target_loss: low\n"},
        "what the baseline ends at, got 'low'",
    ),
    "a space that there is": (
        {"study/mine.yaml": HEAD + "defaults:\n  - override /space: dmo\n"},
        "there is no space 'dmo' (there is: char_cpu,",
    ),
    "a space that can be read": (
        {"study/mine.yaml": HEAD + "defaults:\n  - override /space: odd\n", "space/odd.yaml": BROKEN},
        "space/odd.yaml, line 3: ",
    ),
    "a space with keys": (
        {"study/mine.yaml": HEAD + "defaults:\n  - override /space: odd\n", "space/odd.yaml": "- a\n"},
        "space/odd.yaml must hold keys",
    ),
    "a launcher that there is": (
        {"study/mine.yaml": HEAD + "defaults:\n  - override /hydra/launcher: joblib\n"},
        "there is no 'hydra/launcher/joblib'",
    ),
    "a folder of its own": ({"study/mine.yaml": NAMED + "hydra:\n  run:\n    dir: /tmp\n"}, "reports=FOLDER"),
    "its place": ({"mine.yaml": NAMED}, "mine.yaml; move it there"),
    "its ending": ({"study/mine.yml": NAMED}, "mine.yaml; move it there"),
    "a reference": ({"study/mine.yaml": NAMED + "  description: ${nope}\n"}, "refers to ${nope}"),
}


@pytest.mark.parametrize("what", LACKING)
def test_what_a_study_of_ones_own_lacks_is_said_with_its_file(what: str, tmp_path: Path) -> None:
    files, said = LACKING[what]
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = run_here([sys.executable, "-m", "search", "--config-dir", str(tmp_path), "+study=mine"])
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert said in done.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [("nowhere", "is not there"), ("file", "is a file"), ("study", "is the folder above study/")],
)
def test_a_folder_of_configuration_that_is_none_is_said(name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "mine.yaml").write_text(NAMED)
    done = run_here([sys.executable, "-m", "search", "--config-dir", str(tmp_path / name), "+study=mine"])
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert said in done.stderr


def test_the_example_of_the_readme_composes(tmp_path: Path) -> None:
    readme = (root() / "README.md").read_text(encoding="utf-8")
    example = readme.partition("mystudies/study/mine.yaml:\n\n")[2].partition("\n\nand type")[0]
    text = textwrap.dedent(example)
    assert text.startswith(HEAD)
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "mine.yaml").write_text(text, encoding="utf-8")
    done = run_here(
        [sys.executable, "-m", "search.space", "--config-dir", str(tmp_path), "+study=mine", "device=cpu"]
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_reports_go_to_the_folder_that_is_named_and_its_commands_work_from_there(
    tiny: Callable[..., list[str]], study_name: str, tmp_path: Path
) -> None:
    reached = ("target_loss=4.0", "budget.rival_margin=10")  # by every trial, so that one is the best
    done = run_here(tiny("budget.n_trials=2", *reached, f"reports={tmp_path}/my reports"))
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "my reports" / study_name
    assert (folder / "records.jsonl").is_file()
    assert (folder / "study.db").is_file()
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert f"recipe={folder}/best.yaml" in page.replace("&#39;", "'")
    assert yaml.safe_load((folder / "config.yaml").read_text())["reports"] == f"{tmp_path}/my reports"
    again = run_here([sys.executable, "-m", "search.report", str(folder)])
    assert again.returncode == 0, again.stderr
    assert json.loads((folder / "summary.json").read_text())["study"] == study_name


@pytest.mark.slow
def test_a_study_goes_on_in_the_folder_that_is_named(tiny: Callable[..., list[str]], tmp_path: Path) -> None:
    assert run_here(tiny("budget.n_trials=2", f"reports={tmp_path}/my reports")).returncode == 0
    more = run_here(tiny("budget.n_trials=3", f"reports={tmp_path}/my reports"))
    assert "continuing after 2 finished trials" in more.stdout


@pytest.mark.parametrize("place", ["the study's folder", "the reports' folder", "a folder above"])
def test_a_file_in_the_place_of_a_folder_is_said_before_anything_starts(
    place: str, tmp_path: Path, study_name: str
) -> None:
    reports = tmp_path / "a" / "reports"
    file = {"the study's folder": reports / study_name, "the reports' folder": reports}.get(
        place, tmp_path / "a"
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("")
    named = [f"study.name={study_name}", f"reports={reports}"]
    done = run_here([sys.executable, "-m", "search", "+study=demo", *named])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"joulesearch: {file} is a file where")
    assert len(done.stderr.splitlines()) == 1
