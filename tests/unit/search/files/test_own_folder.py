"""Temporary folders of processes that start at the same moment."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from search.files.own_folder import OwnFolder


def test_a_folder_that_is_being_made_is_not_taken_for_abandoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each looks through the others' folders first. A lock belongs to the opened file, so threads will do."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def make_and_remove(number: int) -> bool:
        folder = OwnFolder.make("test-")
        there = folder.path.is_dir()
        folder.remove()
        return there

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(make_and_remove, range(120)))
    assert not list(tmp_path.iterdir())
