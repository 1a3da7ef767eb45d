"""The commit that a record names is this product's own, or none."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import search
from search.files.provenance import TRAINS, code, training_sha256, uncommitted

PRODUCT = ("search/__init__.py", "search/files/provenance.py", "model/__init__.py")
UNKNOWN = {"git_commit": None, "git_dirty": None, "git_diff_sha256": None}


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "protocol.file.allow=always")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, env=clean, capture_output=True, text=True, check=True).stdout.strip()


def unpack(folder: Path) -> Path:
    """The product's files, as an archive would leave them."""
    for name in PRODUCT:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("# a part of the product\n")
    return folder


def repository(folder: Path) -> Path:
    """A repository with one commit, which is somebody else's."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README").write_text("something else\n")
    git(folder, "init", "-q")
    git(folder, "add", "README")
    git(folder, "commit", "-q", "-m", "first")
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = unpack(repository(tmp_path / "own"))
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "product")
    return folder


def told(folder: Path) -> dict[str, object]:
    return {name: value for name, value in code(folder).items() if name.startswith("git_")}


def test_the_products_own_commit_is_recorded_with_whether_files_differ_from_it(own: Path) -> None:
    commit = git(own, "rev-parse", "HEAD")
    assert told(own) == {"git_commit": commit, "git_dirty": False, "git_diff_sha256": None}
    (own / "untracked").write_text("")
    assert told(own)["git_dirty"] is False
    (own / "README").write_text("changed\n")
    digest = told(own)["git_diff_sha256"]
    assert told(own) == {"git_commit": commit, "git_dirty": True, "git_diff_sha256": digest}
    (own / "README").write_text("changed again\n")
    assert told(own)["git_diff_sha256"] not in (digest, None)


def test_what_is_not_committed_can_be_applied_to_the_commit_again(own: Path, tmp_path: Path) -> None:
    assert uncommitted(own) == ""
    (own / "README").write_text("changed\n\n  \n")
    git(own, "add", "README")
    (own / "model" / "__init__.py").write_text("")
    diff = tmp_path / "code.diff"
    diff.write_text(uncommitted(own))
    git(own, "checkout", "-q", "-f", "HEAD")
    git(own, "apply", str(diff))
    assert (own / "README").read_text() == "changed\n\n  \n"
    assert (own / "model" / "__init__.py").read_text() == ""


def test_the_digest_of_what_trains_changes_with_a_file_that_trains_and_with_no_other(own: Path) -> None:
    before = training_sha256(own)
    (own / "search" / "__init__.py").write_text("# no training\n")
    (own / "model" / "notes.txt").write_text("no code\n")
    assert training_sha256(own) == before
    (own / "model" / "train.py").write_text("steps = 1\n")
    changed = training_sha256(own)
    (own / "model" / "train.py").rename(own / "model" / "other.py")
    assert len({before, changed, training_sha256(own)}) == 3


def test_what_trains_is_there() -> None:
    around = Path(search.__file__).parents[1]
    assert all(list((around / folder).glob("*.py")) for folder in TRAINS)


def test_the_commit_of_a_repository_that_the_product_lies_unpacked_in_is_not_recorded(tmp_path: Path) -> None:
    foreign = repository(tmp_path / "foreign")
    assert told(unpack(foreign / "vendor" / "joulesearch")) == UNKNOWN
    assert told(unpack(foreign)) == UNKNOWN, "at its top, but not in its commit"
    git(foreign, "add", ".")
    assert told(foreign) == UNKNOWN, "added, but not in its commit"


def test_a_copy_that_somebody_committed_below_the_top_of_a_repository_is_not_the_products_own(
    own: Path,
) -> None:
    vendored = unpack(own / "vendor")
    git(own, "add", ".")
    git(own, "commit", "-q", "-m", "vendored")
    assert told(vendored) == UNKNOWN


def test_an_installed_package_has_no_commit_wherever_its_environment_lies(own: Path) -> None:
    installed = unpack(own / ".venv" / "lib" / "python3.11" / "site-packages")
    assert told(installed) == UNKNOWN


def test_variables_that_point_git_elsewhere_are_not_followed(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = repository(tmp_path / "foreign")
    unpacked = unpack(tmp_path / "unpacked")
    monkeypatch.setenv("GIT_DIR", str(foreign / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(unpacked))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "no such index"))
    assert told(unpacked) == UNKNOWN
    clean = {"git_dirty": False, "git_diff_sha256": None}
    assert told(own) == {"git_commit": git(own, "rev-parse", "HEAD")} | clean


def test_a_worktree_and_a_submodule_have_the_products_own_commit(own: Path, tmp_path: Path) -> None:
    commit = git(own, "rev-parse", "HEAD")
    git(own, "worktree", "add", "-q", str(tmp_path / "tree"), "-b", "other")
    assert told(tmp_path / "tree")["git_commit"] == commit
    foreign = repository(tmp_path / "foreign")
    git(foreign, "submodule", "add", "-q", str(own), "joulesearch")
    assert told(foreign / "joulesearch")["git_commit"] == commit


def test_a_checkout_is_its_own_through_a_symbolic_link(own: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(own)
    assert told(tmp_path / "link")["git_commit"] == git(own, "rev-parse", "HEAD")


def test_nothing_is_recorded_without_a_commit_a_repository_or_git(
    tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = unpack(tmp_path / "empty")
    assert told(empty) == UNKNOWN
    git(empty, "init", "-q")
    assert told(empty) == UNKNOWN
    monkeypatch.setenv("PATH", str(tmp_path / "nothing here"))
    assert told(own) == UNKNOWN


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell")
def test_a_checkout_that_git_refuses_to_read_has_no_commit(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does with one that belongs to another user."""
    stand_in = tmp_path / "bin" / "git"
    stand_in.parent.mkdir()
    stand_in.write_text("#!/bin/sh\necho 'fatal: detected dubious ownership' >&2\nexit 128\n")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_in.parent}:{os.environ['PATH']}")
    assert told(own) == UNKNOWN


def test_a_source_tree_has_its_own_version_whatever_is_installed(own: Path) -> None:
    (own / "pyproject.toml").write_text('[project]\nname = "joulesearch"\nversion = "7.8.9"\n')
    assert code(own)["version"] == "7.8.9"
    (own / "pyproject.toml").write_text('[project]\nname = "another"\nversion = "7.8.9"\n')
    assert code(own)["version"] == code(own.parent)["version"] != "7.8.9"


def test_what_runs_here_is_looked_for_around_its_own_package() -> None:
    assert code() == code(Path(search.__file__).resolve().parents[1])
