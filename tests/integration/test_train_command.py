"""`python -m search.train`: what it says, its exit status, and what it finds out before it trains."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import run_here

from search.errors import NO_RESULT

SMALL = [
    *("model.n_layer=1", "model.n_embd=32", "model.n_head=2", "model.block_size=16", "evaluation.context=16"),
    *("train.max_steps=4", "evaluation.tokens=1600", "meter=cpu_time"),
]


def train(text_file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    data = ["data=text", f"data.path={text_file}"]
    return run_here([sys.executable, "-m", "search.train", *SMALL, *data, *arguments])


def test_a_run_names_its_data_its_target_and_what_counting_reaches(text_file: Path) -> None:
    done = train(text_file, "target_loss=9.5")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "text, " in said
    assert "training tokens" in said
    assert "target 9.5" in said
    assert "-grams reaches" in said
    assert "the meter's tick alone" in said
    assert "nor the noise between runs" in said


def test_a_missed_target_is_no_result_and_losses_are_rounded(text_file: Path) -> None:
    done = train(text_file, "target_loss=0.01")
    assert done.returncode == NO_RESULT
    assert "it came to " in done.stdout
    assert "for a target that it reaches, type target_loss=" in done.stdout
    losses = [word for line in done.stdout.splitlines() if "  loss " in line for word in line.split()[3:4]]
    assert losses
    assert all(len(loss.partition(".")[2]) == 4 for loss in losses)


BEFORE_THE_FIRST_JOULE = {
    "a folder for a file": (["output={folder}"], "got a folder"),
    "a file that holds something else": (["output={text}"], "no file of records"),
    "a file in no folder": (["output={folder}/no/x.jsonl"], "lies in a folder that does not exist"),
    "a device": (["output=/dev/full"], "got a device"),
    "a model in the place of a text": (["save={text}"], "is a file"),
    "a model where nothing can be made": (["save=/proc/model"], "/proc cannot be written into"),
    "a model nowhere": (["save=' '"], "save must say where"),
    "a trial of no study": (["trial=3"], "type recipe=reports/NAME trial=3"),
    "a trial of an empty folder": (["recipe={folder}", "trial=3"], "no folder with records.jsonl"),
    "a seed that nothing holds": (["seed=99999999999999999999"], "seed must be a whole number from 0 to"),
    "a negative seed": (["seed=-1"], "seed must be a whole number from 0 to"),
    "a context longer than the text": (["model.block_size=9999999"], "model.block_size=9999999 is longer"),
    "windows longer than the text": (
        ["evaluation.context=160000", "evaluation.tokens=null"],
        "evaluation.context=160000 needs two",
    ),
    "a batch longer than the text": (["train.batch_size=999999"], "train.batch_size=999999 sequences"),
    "a kernel that is not here": (["model.attention=sdpa_cudnn", "device=cpu"], "does not run on cpu"),
    "a block that cuts windows": (["model.block_size=12"], "evaluation.context=16 must be a multiple"),
}


@pytest.mark.parametrize("name", BEFORE_THE_FIRST_JOULE)
def test_what_can_be_known_before_the_first_joule_is_said_before(
    name: str, text_file: Path, tmp_path: Path
) -> None:
    arguments, said = BEFORE_THE_FIRST_JOULE[name]
    before = text_file.read_bytes()
    done = train(text_file, *(a.format(folder=tmp_path, text=text_file) for a in arguments))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert said in done.stderr
    assert "ledger" not in done.stdout
    assert list(tmp_path.iterdir()) == []
    assert text_file.read_bytes() == before


@pytest.mark.slow
def test_a_text_named_from_one_folder_is_found_from_another(text_file: Path, tmp_path: Path) -> None:
    """By the record of a run, and by a recipe that lies beside the text."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "my.txt").write_bytes(text_file.read_bytes())
    recipe = tmp_path / "here" / "best.yaml"
    recipe.write_text(yaml.safe_dump({"data": {"name": "text", "path": "my.txt"}}))
    command = [sys.executable, "-m", "search.train", *SMALL, "target_loss=9.5", f"recipe={recipe}"]
    assert run_here(command).returncode == 0
