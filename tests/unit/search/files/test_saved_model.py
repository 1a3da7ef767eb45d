"""A trained model's folder is whole or absent, and takes nobody's place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from model.data import KeptTokenizer
from search.config.schema import StudyConfig
from search.errors import UserError
from search.files.saved_model import RECIPE, RUN, TOKENIZER, WEIGHTS, free_folder, read_model, write_model
from search.files.whole_file import FileError

KEPT = KeptTokenizer("chars", ("a", "b"))
FILES = {
    WEIGHTS: b"weights",
    RECIPE: yaml.safe_dump(StudyConfig().run_values() | {"target_loss": 2.0}).encode(),
    TOKENIZER: KEPT.to_json().encode(),
    RUN: b"{}",
}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there" / "yet"
    write_model(folder, FILES)
    saved = read_model(folder)
    assert saved.config == StudyConfig().run_config()
    assert saved.tokenizer == KEPT
    assert saved.weights.read_bytes() == b"weights"
    assert {path.name for path in folder.iterdir()} == set(FILES)
    assert list(folder.parent.iterdir()) == [folder]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    assert free_folder(str(tmp_path)) == tmp_path
    write_model(tmp_path, FILES)
    assert read_model(tmp_path).tokenizer == KEPT


class Interrupting(dict[str, bytes]):
    """Files that somebody stops the writing of."""

    def items(self) -> object:  # type: ignore[override]
        yield WEIGHTS, b"half"
        raise KeyboardInterrupt


@pytest.mark.parametrize("there", [False, True])
def test_a_writing_that_is_stopped_leaves_nothing(tmp_path: Path, there: bool) -> None:
    folder = tmp_path / "model"
    if there:
        folder.mkdir()
    with pytest.raises(KeyboardInterrupt):
        write_model(folder, Interrupting())
    assert list(tmp_path.rglob("*")) == ([folder] if there else [])


def test_what_came_into_the_folder_meanwhile_stays(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "mine").write_text("x")
    with pytest.raises(FileError, match="model cannot be written"):
        write_model(folder, FILES)
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "mine"]


def test_a_folder_that_is_not_there_is_free_and_is_not_made(tmp_path: Path) -> None:
    assert free_folder(str(tmp_path / "a" / "b")) == tmp_path / "a" / "b"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("file", "is a file"),
        ("file/model", "a part of its path is a file"),
        ("dangling", ""),
        ("full", "holds other things"),
        ("model", "holds a model already"),
        (".", "save=. cannot be replaced as a whole; type save=model"),
        ("x" * 300, "its name is too long"),
        ("/proc/model", "/proc cannot be written into"),
        ("loop", "is a file"),
    ],
)
def test_a_place_that_cannot_be_had_is_said_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, said: str
) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "here").mkdir()
    write_model(tmp_path / "model", FILES)
    monkeypatch.chdir(tmp_path if typed != "." else tmp_path / "here")
    before = sorted(tmp_path.rglob("*"))
    if said:
        with pytest.raises(UserError) as refused:
            free_folder(typed)
        assert said in str(refused.value)
    else:
        assert free_folder(typed) == tmp_path / "nowhere"
    assert sorted(tmp_path.rglob("*")) == before


DAMAGED: Mapping[str, tuple[dict[str, bytes], str]] = {
    "no weights": ({RECIPE: FILES[RECIPE], TOKENIZER: FILES[TOKENIZER]}, "no model.safetensors in"),
    "no configuration": (FILES | {RECIPE: b"[1]"}, "recipe.yaml is no run's configuration"),
    "broken YAML": (FILES | {RECIPE: b"a: ["}, "recipe.yaml is no run's configuration"),
    "a value of a newer version": (FILES | {RECIPE: b"model: {new: 1}"}, "unknown key model.new"),
    "no tokenizer": (FILES | {TOKENIZER: b"[]"}, "tokenizer.json holds no tokenizer"),
    "bytes": (FILES | {TOKENIZER: b"\xff"}, "tokenizer.json holds no tokenizer"),
    "broken JSON": (FILES | {TOKENIZER: b"{"}, "tokenizer.json holds no tokenizer"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_folder_that_holds_something_else_is_said(tmp_path: Path, name: str) -> None:
    files, said = DAMAGED[name]
    write_model(tmp_path / "model", files)
    with pytest.raises(UserError, match="model") as refused:
        read_model(tmp_path / "model")
    assert said in str(refused.value)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder"):
        read_model(tmp_path / "model")


def test_the_tokenizer_is_readable(tmp_path: Path) -> None:
    assert json.loads(FILES[TOKENIZER]) == {
        "kind": "chars",
        "label": "chars",
        "vocabulary": ["a", "b"],
        "learnt": None,
    }
