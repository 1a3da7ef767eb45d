"""A path that is written into a file is found from another folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from search.train.recipe import read_recipe


def recipe(folder: Path, path: str) -> Path:
    file = folder / "best.yaml"
    file.write_text(yaml.safe_dump({"seed": 3, "data": {"name": "text", "path": path}}))
    return file


def test_a_text_beside_its_recipe_is_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "text.txt").write_text("so it goes")
    file = recipe(tmp_path / "there", "text.txt")
    monkeypatch.chdir(tmp_path)
    assert read_recipe(Path("there/best.yaml"))["data"]["path"] == str(tmp_path / "there" / "text.txt")
    assert read_recipe(file)["seed"] == 3


def test_another_path_is_taken_as_it_stands(tmp_path: Path) -> None:
    for path in (str(tmp_path / "elsewhere.txt"), "nowhere.txt", "~/text.txt"):
        assert read_recipe(recipe(tmp_path, path))["data"]["path"] == path


def test_a_recipe_of_before_is_read_with_the_keys_of_today(tmp_path: Path) -> None:
    file = tmp_path / "best.yaml"
    file.write_text(yaml.safe_dump({"model": {"n_layer": 2, "bigram_table": True, "table_order": 3}}))
    assert read_recipe(file)["model"] == {"n_layer": 2, "lookup_table": "trigram"}
