"""`save=FOLDER` keeps what a run has trained, and `python -m search.sample FOLDER` reads it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import run, run_here

from search.errors import NO_RESULT
from search.files.records import read_records
from search.record.ledger import Phase
from search.record.outcome import Outcome

SMALL = [
    *("model.n_layer=1", "model.n_embd=32", "model.n_head=2", "model.block_size=16", "evaluation.context=16"),
    *("train.max_steps=4", "evaluation.tokens=800", "meter=cpu_time", "meter.idle_s=0"),
]


def train(text_file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    data = ["data=text", f"data.path={text_file}"]
    return run_here([sys.executable, "-m", "search.train", *SMALL, *data, *arguments])


def sample(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_here([sys.executable, "-m", "search.sample", str(folder), *arguments])


@pytest.fixture(scope="module")
def saved(text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and beside it the record of its run."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    done = train(text_file, "target_loss=9.5", f"save={folder}", f"output={folder.parent / 'record.jsonl'}")
    assert done.returncode == 0, done.stderr
    assert f"python -m search.sample {folder}" in done.stdout
    return folder


def test_what_saving_took_is_in_the_ledger_and_does_not_count(saved: Path) -> None:
    ((record,), _) = read_records(saved.parent / "record.jsonl")
    ledger = record.ledger
    assert ledger is not None
    assert ledger.time_s[Phase.CHECKPOINT] > 0
    assert sum(ledger.energy_j.values()) == pytest.approx(record.gross_energy_j)
    counted = ledger.energy_j[Phase.COMPILE] + ledger.energy_j[Phase.TRAIN]
    assert record.counted_energy_j == pytest.approx(counted)


def test_a_model_says_which_run_it_is_of(saved: Path) -> None:
    ((record,), _) = read_records(saved.parent / "record.jsonl")
    written = json.loads((saved / "run.json").read_text())
    assert written["run_id"] == record.run_id
    assert written["loss"] == record.curve[-1].loss
    assert written["outcome"] == record.outcome
    assert written["provenance"]["data"]["sha256"] == record.provenance["data"]["sha256"]


def test_its_recipe_trains_it_again(saved: Path, tmp_path: Path) -> None:
    again, recipe = tmp_path / "again", saved / "recipe.yaml"
    command = [sys.executable, "-m", "search.train", f"recipe={recipe}", f"save={again}"]
    assert run_here(command).returncode == 0
    for name in ("model.safetensors", "tokenizer.json", "recipe.yaml"):
        assert (again / name).read_bytes() == (saved / name).read_bytes(), name


def test_a_text_goes_on_from_its_prompt_and_a_seed_repeats_it(saved: Path) -> None:
    first = sample(saved, "The king", "tokens=20", "seed=3")
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.startswith("The king")
    assert len(first.stdout) == len("The king") + 20 + 1
    assert sample(saved, "seed=3", "The king", "tokens=20").stdout == first.stdout
    assert sample(saved, "The king", "tokens=20", "seed=4").stdout != first.stdout
    assert len(sample(saved).stdout) == 201


@pytest.mark.parametrize("tokenizer", ["bytes", "bpe", "gpt2"])
def test_every_tokenizer_is_had_again(text_file: Path, tmp_path: Path, tokenizer: str) -> None:
    folder = tmp_path / "model"
    size = ["data.vocab_size=300"] if tokenizer == "bpe" else []
    trained = train(text_file, "target_loss=99", f"save={folder}", f"data.tokenizer={tokenizer}", *size)
    assert trained.returncode == 0, trained.stderr
    done = sample(folder, "The kïng½", "tokens=5")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("The kïng½")


def test_a_model_of_records_has_nothing_to_continue(tmp_path: Path) -> None:
    parity = ["data=sparse_parity", "model.block_size=23", "evaluation.context=23", "evaluation.tokens=2300"]
    command = [
        sys.executable,
        "-m",
        "search.train",
        *SMALL,
        *parity,
        "target_loss=9",
        f"save={tmp_path / 'm'}",
    ]
    assert run_here(command).returncode == 0
    done = sample(tmp_path / "m", "0101")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "learnt records of bits, no text" in done.stderr


MISTAKES = {
    "no folder": (["{saved}/no"], "no folder"),
    "no model": (["{saved}/.."], "no model.safetensors in"),
    "nothing": ([], "required: folder"),
    "characters that it lacks": (["{saved}", "Ünder"], "the model knows no 'Ü'"),
    "no tokens": (["{saved}", "tokens=0"], "tokens must be"),
    "an option": (["{saved}", "--tokens", "3"], "unrecognized arguments: --tokens"),
    "a GPU": (["{saved}", "device=cuda"], "torch sees no GPU here"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_costs_one_line(saved: Path, name: str) -> None:
    arguments, said = MISTAKES[name]
    command = [sys.executable, "-m", "search.sample", *(one.format(saved=saved) for one in arguments)]
    done = run_here(command, CUDA_VISIBLE_DEVICES="")
    assert (done.returncode, len(done.stderr.splitlines()), done.stdout) == (2, 1, ""), done.stderr
    assert said in done.stderr


def test_a_saved_model_is_never_overwritten(saved: Path, text_file: Path) -> None:
    before = (saved / "model.safetensors").read_bytes()
    done = train(text_file, "target_loss=9.5", f"save={saved}")
    assert done.returncode == 2
    assert "holds a model already" in done.stderr
    assert (saved / "model.safetensors").read_bytes() == before


def test_a_run_without_a_model_leaves_no_folder(text_file: Path, tmp_path: Path) -> None:
    output = tmp_path / "records.jsonl"
    diverging = [
        "optimizer.lr=1e30",
        "schedule.warmup_steps=0",
        "optimizer.grad_clip=0",
        "train.max_steps=50",
    ]
    done = train(text_file, "target_loss=0.01", *diverging, f"save={tmp_path / 'm'}", f"output={output}")
    ((record,), _) = read_records(output)
    assert record.outcome is Outcome.DIVERGED
    assert done.returncode == NO_RESULT
    assert "nothing is saved: the run DIVERGED" in done.stdout
    assert list(tmp_path.iterdir()) == [output]


def test_help_imports_no_torch() -> None:
    code = "import sys, search.sample.__main__ as program; sys.argv[1:] = ['--help']\n"
    code += "try: program.program()\nexcept SystemExit: print('torch' in sys.modules)"
    assert run([sys.executable, "-c", code]).stdout.splitlines()[-1] == "False"
