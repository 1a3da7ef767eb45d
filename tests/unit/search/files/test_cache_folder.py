"""Caches go where this user can write."""

from pathlib import Path

import pytest

from search.files.paths import CACHE_VARIABLE, cache_dir, first_writable, root


def test_caches_lie_beside_the_code_or_where_a_person_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache_dir() == root() / ".cache"
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "mine"))
    assert cache_dir() == tmp_path / "mine"


def test_a_folder_that_cannot_be_made_is_passed_over(tmp_path: Path) -> None:
    """A file stands in its way: root may write into every folder."""
    (tmp_path / "file").touch()
    closed, open_ = tmp_path / "file" / "cache", tmp_path / "new" / "cache"
    assert first_writable(closed, open_) == open_
    assert first_writable(open_, closed) == open_
    assert first_writable(closed, tmp_path / "file") == closed
    assert not open_.exists()
