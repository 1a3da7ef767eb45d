"""Every process that trains starts from empty caches, and leaves none behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from search.worker.fresh_caches import PREFIX, FreshCaches, fresh_caches_here

HOLD = """
import sys
from search.worker.fresh_caches import FreshCaches
print(FreshCaches.make().folder, flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_each_folder_is_new_and_empty_and_is_removed(temporary: Path) -> None:
    first, second = FreshCaches.make(), FreshCaches.make()
    assert first.folder != second.folder
    assert first.contents() == second.contents()
    (first.folder / "inductor").mkdir()
    (first.folder / "inductor" / "kernel.so").write_text("")
    assert len(first.contents()) == len(second.contents()) + 1, "something was compiled"
    for caches in (first, second, first):
        caches.remove()
    assert list(temporary.iterdir()) == []


@pytest.mark.slow
def test_every_known_cache_lies_in_the_folder_whatever_the_user_had_set(temporary: Path) -> None:
    caches = FreshCaches.make()
    user = {"TORCHINDUCTOR_CACHE_DIR": "/mine", "TRITON_CACHE_DIR": "/mine", "CUDA_CACHE_PATH": "/mine"}
    script = (
        "import tempfile, torch._inductor.codecache as c, torch._inductor.runtime.cache_dir_utils as d\n"
        "print(c._HEADER_DIR, d.cache_dir(), d.triton_cache_dir(0), tempfile.gettempdir())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | user | dict(caches.environment),
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(path.startswith(f"{caches.folder}/") for path in done.stdout.split()), done.stdout
    assert "/mine" not in caches.environment.values()
    assert caches.environment["CCACHE_DISABLE"] == "1"
    caches.remove()


def test_a_folder_whose_owner_was_killed_goes_and_one_in_use_stays(temporary: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    folders = []
    for process in processes:
        assert process.stdout is not None
        folders.append(Path(process.stdout.readline().strip()))
    os.kill(processes[0].pid, signal.SIGKILL)
    processes[0].communicate()
    FreshCaches.make().remove()
    assert [folder.exists() for folder in folders] == [False, True]
    processes[1].communicate("\n")


def test_a_folder_that_is_being_made_stays_and_an_old_one_without_an_owner_goes(temporary: Path) -> None:
    making, old = temporary / f"{PREFIX}making", temporary / f"{PREFIX}old"
    making.mkdir()
    old.mkdir()
    os.utime(old, (time.time() - 7200,) * 2)
    FreshCaches.make().remove()
    assert (making.exists(), old.exists()) == (True, False)


def test_this_process_gets_its_environment_back(temporary: Path) -> None:
    before = dict(os.environ)
    with fresh_caches_here():
        assert tempfile.gettempdir() == os.environ["TMPDIR"] != str(temporary)
        Path(tempfile.mkdtemp(), "left").write_text("behind")
    assert dict(os.environ) == before
    assert tempfile.gettempdir() == str(temporary)
    assert list(temporary.iterdir()) == []
