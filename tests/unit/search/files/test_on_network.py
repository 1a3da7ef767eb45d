"""Which files lie on a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.files.network import Mount, is_on_network, mounts

HERE = [Mount(Path("/"), "ext4"), Mount(Path("/home"), "nfs4"), Mount(Path("/home/me/fast"), "xfs")]


@pytest.mark.parametrize(
    ("path", "is_so"),
    [
        ("/data/study", False),
        ("/home/me/study", True),
        ("/home/me/fast/study", False),
        ("/homely", False),
    ],
)
def test_the_deepest_mount_decides(path: str, is_so: bool) -> None:
    assert is_on_network(Path(path), HERE) is is_so


@pytest.mark.parametrize("kind", ["lustre", "fuse.sshfs", "CIFS", "smb3", "beegfs_nodev", "ceph", "gpfs"])
def test_file_systems_of_clusters_are_known(kind: str) -> None:
    assert is_on_network(Path("/scratch/study"), [Mount(Path("/"), "ext4"), Mount(Path("/scratch"), kind)])


def test_this_machine_has_a_root() -> None:
    assert any(mount.at == Path("/") for mount in mounts())
