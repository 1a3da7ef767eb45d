"""Whether a file lies on a network, where locks and SQLite's shared memory do not work between machines."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import psutil

_PROTOCOLS = (
    "nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "ceph", "afs", "gluster", "pvfs", "orangefs", "panfs",
    "wekafs", "sshfs", "s3fs", "gcsfuse", "davfs", "9p", "ocfs2", "gfs2",
)  # fmt: skip


class Mount(NamedTuple):
    at: Path
    kind: str


def mounts() -> list[Mount]:
    """The file systems of this machine."""
    return [Mount(Path(part.mountpoint), part.fstype) for part in psutil.disk_partitions(all=True)]


def is_on_network(path: Path, mounted: Iterable[Mount] | None = None) -> bool:
    """Whether the deepest of the file systems that hold `path` crosses machines."""
    whole = path.resolve()
    known = mounts() if mounted is None else mounted
    holding = [mount for mount in known if whole.is_relative_to(mount.at)]
    kind = max(holding, key=lambda mount: len(mount.at.parts), default=Mount(Path("/"), "")).kind.lower()
    return kind.removeprefix("fuse.").startswith(_PROTOCOLS)
