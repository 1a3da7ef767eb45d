"""What a study's folder keeps of the code that ran."""

from __future__ import annotations

from pathlib import Path

from search.study.folder import LARGEST_DIFF_BYTES, StudyFolder

SHA256 = "0123456789abcdef" * 4


def test_uncommitted_changes_are_kept_beside_the_records_by_their_digest(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    assert folder.keep_diff("+a line\n", SHA256) is None
    assert (tmp_path / "code-0123456789ab.diff").read_text() == "+a line\n"
    assert folder.keep_diff("+a line\n", SHA256) is None
    assert folder.keep_diff("+\udcff, which is no UTF-8\n", SHA256[1:]) is None
    assert len(list(tmp_path.iterdir())) == 2


def test_changes_that_are_too_large_are_not_kept_and_that_is_said(tmp_path: Path) -> None:
    said = StudyFolder(tmp_path).keep_diff("+" * (LARGEST_DIFF_BYTES + 1), SHA256)
    assert said is not None
    assert "1.0 MiB are not kept" in said
    assert not list(tmp_path.iterdir())
