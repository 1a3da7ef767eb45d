"""A Ray cluster of one machine for a test: on loopback alone, of little memory, and ended with all that it
started, whatever happens."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

# Ray then takes 127.0.0.1 for this machine's address, as on systems where it has no clusters.
ON_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
STORE_BYTES = 80_000_000
START_LIMIT_S = 120.0


@dataclass(frozen=True)
class RayCluster:
    """`head` holds all of its processes."""

    address: str
    head: psutil.Process

    def family(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return [self.head, *self.head.children(recursive=True)]
        return []

    def named(self, part: str) -> list[psutil.Process]:
        """Its processes with this in their command line."""
        found = []
        for process in self.family():
            with suppress(psutil.Error):
                if part in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def listens_at(self) -> set[str]:
        """Addresses at which it can be reached."""
        found = set()
        for process in self.family():
            with suppress(psutil.Error):
                for connection in process.net_connections("inet"):
                    if connection.status == psutil.CONN_LISTEN:
                        found.add(connection.laddr.ip.removeprefix("::ffff:"))
        return found


@contextmanager
def ray_cluster(folder: Path, gpus: int, environment: Mapping[str, str]) -> Iterator[RayCluster]:
    """`folder` must have a short path, since Ray's sockets lie in it."""
    port = _free_port()
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"),
        *("--node-ip-address=127.0.0.1", f"--port={port}", "--include-dashboard=false", f"--num-gpus={gpus}"),
        *("--num-cpus=2", f"--object-store-memory={STORE_BYTES}", f"--temp-dir={folder}"),
    ]
    with (folder / "head.log").open("w") as log:
        head = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            env=os.environ | environment | ON_LOOPBACK,
            start_new_session=True,
        )
    cluster = RayCluster(f"127.0.0.1:{port}", psutil.Process(head.pid))
    try:
        _wait_for(cluster, folder / "head.log")
        yield cluster
    finally:
        _end(cluster, head)


def _wait_for(cluster: RayCluster, log: Path) -> None:
    until_s = time.monotonic() + START_LIMIT_S
    while "Ray runtime started" not in log.read_text():
        assert cluster.head.is_running(), log.read_text()
        assert time.monotonic() < until_s, log.read_text()
        time.sleep(0.2)


def _end(cluster: RayCluster, head: subprocess.Popen[bytes]) -> None:
    family = cluster.family()
    head.terminate()
    with suppress(subprocess.TimeoutExpired):
        head.wait(10)
    for process in [*family, *cluster.family()]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    head.wait()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
