"""Where device locks lie: where every process of the machine looks, whoever owns it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from search.errors import UserError
from search.worker.locks import VARIABLE, DeviceBusy, check_usable, exclusive, lock_folder

HOLD = """
import os, sys
from search.worker.locks import exclusive
if len(sys.argv) > 2:
    os.setgid(int(sys.argv[2]))
    os.setuid(int(sys.argv[2]))
try:
    with exclusive([sys.argv[1]], "study 'secret'", wait=False):
        print("held", flush=True)
        sys.stdin.readline()
except Exception as error:
    print(error, flush=True)
"""


@pytest.fixture(autouse=True)
def _as_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks where they lie when nothing is set, whatever the caller's environment says."""
    for variable in (VARIABLE, "TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)


@pytest.fixture
def name(_as_shipped: None) -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex}"
    yield name
    for path in lock_folder().glob(f"{name}*"):
        path.unlink()


@pytest.fixture
def for_all(tmp_path: Path) -> Callable[[str, int], Path]:
    def make(place: str, mode: int) -> Path:
        path = tmp_path / place
        path.mkdir()
        path.chmod(mode)
        return path

    return make


@pytest.fixture(autouse=True)
def no_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def hold(name: str, *more: str, **environment: str) -> subprocess.Popen[str]:
    process = begin(name, *more, **environment)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def begin(name: str, *more: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, name, *more],
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_private_temporary_folder_hides_no_run(name: str, tmp_path: Path) -> None:
    holder = hold(name, TMPDIR=str(tmp_path), XDG_RUNTIME_DIR=str(tmp_path), HOME=str(tmp_path))
    try:
        with pytest.raises(DeviceBusy, match=f"{name} is held by study 'secret'"):
            exclusive([name], "study 'second'", wait=False).__enter__()
    finally:
        holder.communicate("\n")
    with exclusive([name], "study 'second'", wait=False):
        pass


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("first", ["", "65534"], ids=["root holds", "nobody holds"])
def test_another_user_is_waited_for_by_name_and_the_study_stays_private(name: str, first: str) -> None:
    second = [] if first else ["65534"]
    holder = hold(name, *filter(None, [first]))
    refused = begin(name, *second)
    said, _ = refused.communicate("\n")
    holder.communicate("\n")
    assert f"{name} is held by" in said
    if second:
        assert "held by a run of the user root;" in said
        assert "secret" not in said
    hold(name, *second).communicate("\n")  # what the first left behind is in nobody's way


def test_the_first_place_that_all_may_write_to_is_taken(for_all: Callable[[str, int], Path]) -> None:
    root_only, shared, later = for_all("a", 0o755), for_all("b", 0o1777), for_all("c", 0o1777)
    found = lock_folder([root_only / "missing", root_only, shared, later])
    assert found == shared / "joulesearch"
    assert found.stat().st_mode & 0o7777 == 0o1777


def test_a_folder_that_was_left_half_made_is_put_right(for_all: Callable[[str, int], Path]) -> None:
    shared = for_all("b", 0o1777)
    (shared / "joulesearch").mkdir(mode=0o700)
    assert lock_folder([shared]).stat().st_mode & 0o7777 == 0o1777


@pytest.mark.parametrize("what", ["nothing", "a file", "a link"])
def test_no_place_for_the_locks_costs_one_line(for_all: Callable[[str, int], Path], what: str) -> None:
    shared = for_all("b", 0o755 if what == "nothing" else 0o1777)
    if what == "a file":
        (shared / "joulesearch").write_text("")
    if what == "a link":
        (shared / "joulesearch").symlink_to(shared)
    with pytest.raises(UserError, match=VARIABLE) as error:
        lock_folder([shared])
    assert "\n" not in str(error.value)


def test_tests_and_containers_name_a_folder_of_their_own(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = hold(name)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "mine"))
    with exclusive([name], "study 'apart'", wait=False):
        assert (tmp_path / "mine" / f"{name}.lock").exists()
    holder.communicate("\n")


def test_a_folder_that_depends_on_where_one_stands_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "locks")
    with pytest.raises(UserError, match=f"type {VARIABLE}=/"):
        lock_folder()


def test_the_default_place_is_not_the_temporary_folder_of_a_job(tmp_path: Path) -> None:
    before = lock_folder()
    script = "from search.worker.locks import lock_folder; print(lock_folder())"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == str(before)
    assert tempfile.gettempdir() not in str(before) or tempfile.gettempdir() == "/tmp"


def test_a_lock_that_nobody_could_take_is_found_before_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    (tmp_path / "cpu.lock").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match=f"cpu.lock, cannot be used .*set {VARIABLE}"):
        check_usable(["cpu"])


def test_looking_whether_a_lock_can_be_taken_takes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    check_usable(["cpu"])
    with exclusive(["cpu"], "a run", wait=False):
        check_usable(["cpu"])


def test_a_device_is_shared_by_those_who_share_it_and_by_nobody_else(name: str) -> None:
    def share() -> AbstractContextManager[None]:
        return exclusive([], "slots", wait=False, shared=[name])

    with share(), share(), pytest.raises(DeviceBusy):
        exclusive([name], "alone", wait=False).__enter__()
    with exclusive([name], "alone", wait=False), pytest.raises(DeviceBusy):
        share().__enter__()
