"""Published files, fetched once: what is wanted is pinned by size and digest, so any address will do.

A file is downloaded as `NAME.part` and renamed when its digest is right. An interrupted download resumes, in
another process too, from any mirror. If the digest turns out wrong, the part is deleted and fetched from its
beginning, once for each address. (An ETag would say less.) One process downloads a file; others wait for it.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from filelock import FileLock
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    ResponseError,
    SSLError,
)

from model.data.cache import writing_to
from model.data.errors import DataError

_BLOCK_BYTES = 2**20
_PASSING = (408, 425, 429)  # answers of 4xx that may be others at the next try
_REDIRECTS = 5

OnProgress = Callable[[str, int, int], None]
"""Told what is being done, how many bytes of it are done, and how many there are; 0 if unknown."""


def silent(what: str, done_bytes: int, total_bytes: int) -> None:
    """Shows nothing."""


@dataclass(frozen=True)
class RemoteFile:
    """A published file. `name` is its path below the folder of downloads.

    `urls` are tried in order. `otherwise` is what a person can type where none of them gives it.
    """

    name: str
    size_bytes: int
    sha256: str
    urls: tuple[str, ...]
    otherwise: str


@dataclass(frozen=True)
class Patience:
    """How long a server may take to answer and between two blocks, and how often in a row an address may give
    nothing before the next one is tried."""

    connect_s: float = 10.0
    read_s: float = 30.0
    attempts: int = 3
    wait_s: float = 1.0


@dataclass(frozen=True)
class Downloads:
    """Where files go, where they come from, and who is told. `urls` replace a file's own; one that ends in
    `/` is a folder with files of the same names."""

    folder: Path
    urls: tuple[str, ...] | None = None
    on_progress: OnProgress = silent
    patience: Patience = Patience()

    def get(self, file: RemoteFile) -> Path:
        """The path of the file, which is downloaded unless it is there, also if a person has put it there.

        Raises `DataError` where no address gives it, the folder cannot be written, or another file is there.
        """
        target = self.folder / file.name
        with writing_to(target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{target}.lock"):
                if target.exists():
                    _check(target, file)
                else:
                    with _Part(Path(f"{target}.part"), file) as part:
                        self._fetch(file, part)
                        part.flush()
                    part.path.replace(target)
        return target

    def _fetch(self, file: RemoteFile, part: _Part) -> None:
        problems = []
        for url in self._addresses(file):
            problem = _Source(url, file, part, self.patience, self.on_progress).fetch()
            if problem is None:
                return
            problems.append(f"{urlsplit(url).hostname}: {problem}")
        raise DataError(
            f"{Path(file.name).name}: expected to download it, got {'; '.join(problems)}; "
            f"put it at {self.folder / file.name}, or {file.otherwise}"
        )

    def _addresses(self, file: RemoteFile) -> tuple[str, ...]:
        if self.urls is None:
            return file.urls
        return tuple(url + Path(file.name).name if url.endswith("/") else url for url in self.urls)


class _Part:
    """A growing file and its digest so far.

    `is_mixed`: it came in several answers, so its bytes may not belong together.
    """

    def __init__(self, path: Path, wanted: RemoteFile) -> None:
        self.path = path
        self._wanted = wanted
        self._file = path.open("a+b")
        self._file.seek(0)
        self.size_bytes = 0
        self._digest = hashlib.sha256()
        while block := self._file.read(_BLOCK_BYTES):
            self._count(block)
        self.is_mixed = self.size_bytes > 0
        if self.size_bytes > wanted.size_bytes:
            self.restart()

    def __enter__(self) -> _Part:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def is_whole(self) -> bool:
        return self.size_bytes == self._wanted.size_bytes

    @property
    def is_right(self) -> bool:
        return self._digest.hexdigest() == self._wanted.sha256

    def append(self, block: bytes) -> None:
        self._file.write(block)
        self._count(block)

    def flush(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def restart(self) -> None:
        self._file.truncate(0)
        self.size_bytes = 0
        self._digest = hashlib.sha256()
        self.is_mixed = False

    def _count(self, block: bytes) -> None:
        self.size_bytes += len(block)
        self._digest.update(block)


class _Refused(Exception):
    """This address does not have the file: asking again is no use."""


@dataclass
class _Source:
    """One address, asked until the part is whole, it refuses, or patience runs out."""

    url: str
    file: RemoteFile
    part: _Part
    patience: Patience
    on_progress: OnProgress

    def fetch(self) -> str | None:
        """None when the part is whole and right; otherwise why it is not, in a few words."""
        best_bytes, fruitless, started_again, problem = self.part.size_bytes, 0, False, ""
        while fruitless < self.patience.attempts:
            if not self.part.is_whole:
                try:
                    problem = self._ask()
                except _Refused as refused:
                    return str(refused)
            if self.part.is_whole:
                if self.part.is_right:
                    return None
                may_start_again = self.part.is_mixed and not started_again
                self.part.restart()
                if not may_start_again:
                    return "a file with another sha256"
                started_again, best_bytes = True, 0
            elif self.part.size_bytes > best_bytes:
                best_bytes, fruitless = self.part.size_bytes, 0
            else:
                fruitless += 1
                time.sleep(self.patience.wait_s)
        return problem

    def _ask(self) -> str:
        """Append one answer to the part; returns why it ended. Raises `_Refused`."""
        headers = {"User-Agent": "joulesearch", "Accept-Encoding": "identity"}
        if self.part.size_bytes:
            headers["Range"] = f"bytes={self.part.size_bytes}-"
        try:
            with _pool(self.url) as pool:
                response = pool.request(
                    "GET",
                    self.url,
                    headers=headers,
                    timeout=urllib3.Timeout(connect=self.patience.connect_s, read=self.patience.read_s),
                    retries=urllib3.Retry(
                        total=None, connect=0, read=0, status=0, other=0, redirect=_REDIRECTS
                    ),
                    preload_content=False,
                )
                try:
                    return self._take(response)
                finally:
                    response.close()
        except HTTPError as error:
            return self._words(error)

    def _take(self, response: urllib3.BaseHTTPResponse) -> str:
        if response.status not in (200, 206):
            problem = f"HTTP {response.status}"
            if 400 <= response.status < 500 and response.status not in _PASSING:
                raise _Refused(problem)
            return problem
        offered_bytes = _offered_bytes(response, self.part.size_bytes)
        if offered_bytes not in (None, self.file.size_bytes):
            raise _Refused(f"a file of {offered_bytes:,} bytes instead of {self.file.size_bytes:,}")
        if response.status == 206:
            self.part.is_mixed = True
        else:
            self.part.restart()
        while block := response.read1(_BLOCK_BYTES, decode_content=False):
            if self.part.size_bytes + len(block) > self.file.size_bytes:
                self.part.restart()
                raise _Refused(f"more than the {self.file.size_bytes:,} bytes of the file")
            self.part.append(block)
            self.on_progress(Path(self.file.name).name, self.part.size_bytes, self.file.size_bytes)
        return self._cut()

    def _cut(self) -> str:
        return f"a connection cut after {self.part.size_bytes:,} of {self.file.size_bytes:,} bytes"

    def _words(self, error: HTTPError) -> str:
        """In our own words: the library's tell the whole address, which may hold a password."""
        cause = error.reason if isinstance(error, MaxRetryError) and error.reason else error
        if isinstance(cause, NewConnectionError):  # which is a ConnectTimeoutError to the library
            return "no connection"
        if isinstance(cause, ConnectTimeoutError):
            return f"no answer in {self.patience.connect_s:g} s"
        if isinstance(cause, ReadTimeoutError):
            return f"{self.patience.read_s:g} s of silence after {self.part.size_bytes:,} bytes"
        if isinstance(cause, ResponseError):
            return f"more than {_REDIRECTS} redirections"
        if isinstance(cause, SSLError):
            return "no trusted connection (TLS)"
        if isinstance(cause, ProtocolError):
            return self._cut()
        return type(cause).__name__


def _offered_bytes(response: urllib3.BaseHTTPResponse, had_bytes: int) -> int | None:
    """The size of the whole file that is offered, None where it is not said.

    Raises `_Refused` for a range that does not begin where the part ends.
    """
    if response.status == 200:
        length = response.headers.get("Content-Length", "")
        return int(length) if length.isdecimal() else None
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    if found is None or int(found[1]) != had_bytes:
        raise _Refused("another range than was asked for")
    return int(found[2]) if found[2].isdecimal() else None


def _pool(url: str) -> urllib3.PoolManager:
    """A way to `url`, through the proxy that the environment names for it."""
    address = urlsplit(url)
    proxy = getproxies().get(address.scheme)
    if not proxy or proxy_bypass(address.hostname or ""):
        return urllib3.PoolManager()
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    auth = urllib3.util.parse_url(proxy).auth
    headers = urllib3.make_headers(proxy_basic_auth=unquote(auth)) if auth else None
    return urllib3.ProxyManager(proxy, proxy_headers=headers)


def _check(target: Path, file: RemoteFile) -> None:
    with target.open("rb") as there:
        digest = hashlib.file_digest(there, "sha256").hexdigest()
    if digest != file.sha256:
        raise DataError(
            f"{target}: expected the file of {file.size_bytes:,} bytes with sha256 {file.sha256}, "
            f"found {target.stat().st_size:,} bytes with {digest}; remove it, and it is downloaded again"
        )
