"""A PostgreSQL server on loopback for tests: a temporary folder, a free port, a password, no socket file.

PostgreSQL refuses to run as root, so as root it runs as another user.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

USER = "joulesearch"
PASSWORD = "hush/hush"  # percent-encoded in a URL, so that both spellings can be looked for
# Those that are there, in this order, run the server where the tests run as root.
_NOT_ROOT = ("postgres", "nobody")
_TRIES = 5  # somebody else may take the free port before the server does


def programs() -> Path | None:
    """The folder of initdb and pg_ctl; None where no server is installed. Debian leaves it off the path."""
    on_path = shutil.which("pg_ctl")
    found = [Path(on_path).resolve()] if on_path else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[-3]))
    return next((path.parent for path in reversed(found) if (path.parent / "initdb").exists()), None)


@dataclass
class PostgresServer:
    """`folder` holds its data and its log."""

    programs: Path
    folder: Path
    port: int = 0

    def url(self, database: str = "postgres", driver: str = "postgresql+psycopg") -> str:
        """With the password in it, as SQLAlchemy and libpq (`driver="postgresql"`) take it."""
        return f"{driver}://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The SQLAlchemy URL of a database that is empty."""
        import psycopg

        name = f"test_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.url(driver="postgresql"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def start(self) -> None:
        """On the port that it had before, if it had one."""
        for attempt in range(_TRIES):
            port = self.port or _free_port()
            options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories=''"
            log = str(self.folder / "log")
            done = self._run("pg_ctl", "start", "-w", "-l", log, "-o", f"{options} -c fsync=off")
            if done.returncode == 0:
                self.port = port
                return
            if attempt == _TRIES - 1:
                raise RuntimeError(f"{done.stdout}{(self.folder / 'log').read_text()}")

    def stop(self) -> None:
        """At once, as a crash would; what was committed is there after `start`."""
        self._run("pg_ctl", "stop", "-m", "immediate")

    def make(self) -> None:
        """Raises RuntimeError."""
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        if (user := _user()) is not None:
            for path in (self.folder, secret):
                shutil.chown(path, user)
        options = ("--auth=scram-sha-256", f"--username={USER}", f"--pwfile={secret}", "--no-sync")
        done = self._run("initdb", *options, "--encoding=UTF8", "--locale=C")
        if done.returncode != 0:
            raise RuntimeError(f"{done.stdout}{done.stderr}")

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        user = _user()
        # A file, since the server would keep a pipe open as long as it lives.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [str(self.programs / program), "-D", str(self.folder / "data"), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                user=user,
                group=None if user is None else pwd.getpwnam(user).pw_gid,
                extra_groups=None if user is None else (),
                timeout=120,
            )
            output.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, output.read(), "")


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """A server while it lasts. Skips the test where none is installed, or no client."""
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL's server is not installed (Debian: apt-get install postgresql)")
    pytest.importorskip("psycopg", reason="psycopg is not installed (pip install 'joulesearch[postgres]')")
    # Not pytest's own folder, which the server's user may not enter.
    folder = Path(tempfile.mkdtemp(prefix="joulesearch-postgres-"))
    server = PostgresServer(found, folder)
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _user() -> str | None:
    """Who runs the server; None is whoever runs the tests."""
    if os.geteuid() != 0:
        return None
    there = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in _NOT_ROOT if name in there)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
