"""Compiler caches that start empty, for one process that trains: what a compilation costs must not depend on
what this machine compiled before.

Everything is cold for all. Warming up before the meter would hide what a person pays for the first run, and
could not be done alike for every variant: which kernels are built is known only once they are. So each
process gets a folder of its own for whatever outlives a process: torch's generated code, its precompiled
headers (which torch keeps beside its cache, in the temporary folder, and leaves out of `fresh_cache`), its
autotuning results, Triton's, CUDA's and ROCm's kernels. Compilers that remember are told not to.

What stays warm is the operating system's cache of files: the compiler's own program and headers.

The variables must be set before torch is imported.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from search.files.own_folder import OwnFolder

PREFIX = "joulesearch-caches-"

# Variable -> the place in the folder; the folder itself where that is empty.
PLACES = {
    "TMPDIR": "tmp",  # torch's precompiled headers are here, whatever the next variable says
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TRITON_HOME": "triton",
    "TRITON_CACHE_DIR": "triton/cache",
    "TRITON_OVERRIDE_DIR": "triton/override",
    "CUDA_CACHE_PATH": "cuda",
    "CUTE_DSL_CACHE_DIR": "cute",
    "PYTORCH_KERNEL_CACHE_PATH": "kernels",
    "PYTORCH_TUNABLEOP_FILENAME": "tunableop.csv",
    "MIOPEN_USER_DB_PATH": "miopen/db",
    "MIOPEN_CUSTOM_CACHE_DIR": "miopen/cache",
    "AMD_COMGR_CACHE_DIR": "comgr",
    "XDG_CACHE_HOME": "xdg",
    "CCACHE_DIR": "ccache",
}
# Folders that are taken as they are only where they exist.
FOLDERS = ("tmp", "kernels", "miopen/db", "miopen/cache", "xdg")
SWITCHES = {
    "CCACHE_DISABLE": "1",
    "SCCACHE_RECACHE": "1",
    "TORCHINDUCTOR_FX_GRAPH_REMOTE_CACHE": "0",
    "TORCHINDUCTOR_AUTOGRAD_REMOTE_CACHE": "0",
    "TORCHINDUCTOR_AUTOTUNE_REMOTE_CACHE": "0",
    "TORCHINDUCTOR_BUNDLED_AUTOTUNE_REMOTE_CACHE": "0",
    "TORCH_DYNAMO_AUTOMATIC_DYNAMIC_REMOTE_PGO": "0",
}


@dataclass(frozen=True)
class FreshCaches:
    """The caches of one process, in a folder of its own."""

    own: OwnFolder

    @staticmethod
    def make() -> FreshCaches:
        own = OwnFolder.make(PREFIX)
        for name in FOLDERS:
            (own.path / name).mkdir(parents=True, exist_ok=True)
        return FreshCaches(own)

    @property
    def folder(self) -> Path:
        return self.own.path

    @property
    def environment(self) -> Mapping[str, str]:
        """For a process that has not imported torch."""
        return {name: str(self.folder / place) for name, place in PLACES.items()} | SWITCHES

    def contents(self) -> frozenset[str]:
        """What lies in it: more than before means that something was compiled."""
        return frozenset(
            str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()
        )

    def remove(self) -> None:
        """May be called twice."""
        self.own.remove()


@contextmanager
def fresh_caches_here() -> Iterator[None]:
    """For this process, which must not have imported torch yet."""
    caches, before = FreshCaches.make(), dict(os.environ)
    os.environ.update(caches.environment)
    tempfile.tempdir = None  # found anew from TMPDIR
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        tempfile.tempdir = None
        caches.remove()
