"""The processes that train together: started and watched by torch's elastic launcher, each on a connection.

The launcher's agent runs in a thread of this process, so that the ranks are its children: whatever counts
this process' tree counts them, and the system ends them with it. It restarts nothing. The agent and the ranks
meet and talk on the loopback, at ports that the system picks. Ranks write no log files.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener, wait
from typing import Any

import psutil
from torch.distributed.elastic.multiprocessing import LogsDest, LogsSpecs
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from model.distributed.loopback import BACKEND
from model.distributed.messages import Failed, Hello, Message
from model.distributed.rank import ADDRESS, KEY, LOOPBACK, PARENT
from model.errors import one_line

MODULE = "model.distributed.rank"
INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
POLL_EVERY_S = 0.05
# How long ranks may take to end by themselves, and what the agent may take to notice that one has died.
ENDS_WITHIN_S = 5.0
# Their warnings are about launches from a shell: that this thread hears no signals, and that it ends ranks.
_LOUD = ("multiprocessing.api", "multiprocessing.subprocess_handler.subprocess_handler", "agent.server.api")


class RankLost(RuntimeError):
    """A rank has died or failed. The text is one line that names it."""


class Ranks:
    """`processes` ranks, all of them connected. Raises RankLost where one does not start."""

    def __init__(self, processes: int, threads: int) -> None:
        self._processes = processes
        self._pids: dict[int, int] = {}
        self._connections: dict[int, Connection[Any, Any]] = {}
        self._exit_codes: dict[int, int] = {}
        self._agent_error = ""
        self._all_here = False
        key = secrets.token_bytes(32)
        with Listener((LOOPBACK, 0), backlog=processes, authkey=key) as listener:
            _, port = listener.address
            arguments = (int(port), key, threads)
            self._agent = threading.Thread(target=self._run_agent, args=arguments, name="ranks", daemon=True)
            self._agent.start()
            try:
                self._accept(listener)
            except BaseException:
                self.end()
                raise

    def send(self, message: object, rank: int | None = None) -> None:
        """To one rank, or to all. Raises RankLost."""
        for number in self._connections if rank is None else (rank,):
            try:
                self._connections[number].send(message)
            except OSError:
                raise self._lost(number, "") from None

    def receive(self) -> list[Message]:
        """The next message of every rank, in their order. Raises RankLost."""
        got: dict[int, Message] = {}
        numbers = {self._connections[rank]: rank for rank in self._connections}
        while numbers:
            for connection in wait(list(numbers)):
                assert isinstance(connection, Connection)
                rank = numbers.pop(connection)
                got[rank] = self.receive_from(rank)
        return [got[rank] for rank in sorted(got)]

    def receive_from(self, rank: int) -> Message:
        try:
            message: Message = self._connections[rank].recv()
        except (EOFError, OSError):
            raise self._lost(rank, "") from None
        if isinstance(message, Failed):
            raise self._lost(rank, message.text)
        return message

    def end(self, at_rest: bool = False) -> None:
        """End all ranks. Those that wait for an order end by themselves when there is none (`at_rest`); the
        others are killed. May be called twice."""
        for connection in self._connections.values():
            connection.close()
        if not at_rest:
            self._kill()
        self._agent.join(ENDS_WITHIN_S)
        if self._agent.is_alive():
            self._kill()
            self._agent.join()

    def _kill(self) -> None:
        for pid in self._pids.values():
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                if process.ppid() == os.getpid():  # the number may be another's by now
                    process.kill()

    def _accept(self, listener: Listener) -> None:
        while len(self._connections) < self._processes:
            try:
                connection = listener.accept()
                hello: Hello | None = connection.recv()
            except (AuthenticationError, EOFError, ConnectionError):  # somebody else, or a rank that died
                continue
            if hello is None:
                raise RankLost(f"the processes did not start: {self._agent_error or 'they ended at once'}")
            self._connections[hello.rank] = connection
            self._pids[hello.rank] = hello.pid
        self._all_here = True

    def _run_agent(self, port: int, key: bytes, threads: int) -> None:
        environment = _environment(threads) | {ADDRESS: str(port), KEY: key.hex()}
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=self._processes,
            run_id=secrets.token_hex(8),
            role="rank",
            rdzv_backend=BACKEND,
            rdzv_endpoint=LOOPBACK,
            rdzv_configs={"processes": self._processes},
            local_addr=LOOPBACK,
            max_restarts=0,
            monitor_interval=POLL_EVERY_S,
            logs_specs=_NoLogs(environment),
        )
        try:
            with _quietly():
                elastic_launch(config, sys.executable)("-P", "-m", MODULE)
        except ChildFailedError as error:
            self._exit_codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        except Exception as error:
            self._agent_error = one_line(error)
        if not self._all_here:  # whoever still waits for a rank must know that none will come
            with suppress(OSError, EOFError, AuthenticationError):
                Client((LOOPBACK, port), authkey=key).send(None)

    def _lost(self, rank: int, said: str) -> RankLost:
        """Why the run ends, once all ranks have. A rank that is killed makes the others fail: of them, the
        one that died without a word is named."""
        last_words = {rank: said}
        until_s = time.monotonic() + ENDS_WITHIN_S
        open_ = {one: number for number, one in self._connections.items() if number != rank}
        while open_ and (left_s := until_s - time.monotonic()) > 0:
            for connection in wait(list(open_), left_s):
                assert isinstance(connection, Connection)
                last_words |= self._last_word(open_, connection)
        self._agent.join(max(0.0, until_s - time.monotonic()))
        self.end()
        return RankLost(self._reason(last_words, rank))

    def _last_word(
        self, open_: dict[Connection[Any, Any], int], connection: Connection[Any, Any]
    ) -> dict[int, str]:
        try:
            message = connection.recv()
        except (EOFError, OSError):
            return {open_.pop(connection): ""}
        return {open_.pop(connection): message.text} if isinstance(message, Failed) else {}

    def _reason(self, last_words: Mapping[int, str], first: int) -> str:
        culprit = first
        if last_words[first]:
            codes = {one: self._exit_codes.get(one, 0) for one, said in last_words.items() if not said}
            killed = [one for one, code in codes.items() if code < 0 and code != -signal.SIGTERM]
            culprit = killed[0] if killed else first
        name = f"rank {culprit} of {self._processes}"
        if last_words[culprit]:
            return f"{name} failed: {last_words[culprit]}"
        code = self._exit_codes.get(culprit)
        if code is None or code == 0:
            return f"{name} ended before its training did"
        if code > 0:
            return f"{name} ended with status {code}"
        memory = " (out of memory?)" if -code == signal.SIGKILL else ""
        return f"{name} was killed by {signal.Signals(-code).name}{memory}"


class _NoLogs(LogsSpecs):
    """What ranks print goes where this process' does, and no file is made. Adds to their environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__()
        self._environment = environment

    @property
    def root_log_dir(self) -> str:
        return os.devnull

    def reify(self, envs: dict[int, dict[str, str]]) -> LogsDest:
        for env in envs.values():
            env.update(self._environment)
        console = dict.fromkeys(envs, "")
        return LogsDest(console, dict(console), {}, {}, dict.fromkeys(envs, os.devnull))


def _environment(threads: int) -> dict[str, str]:
    """For ranks: what this process imports, as many threads as it may use, and the loopback."""
    path = [os.path.abspath(entry) for entry in sys.path if os.pathsep not in entry]
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), None)
    found = {
        "PYTHONPATH": os.pathsep.join(path),
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        PARENT: str(os.getpid()),
        "TORCHELASTIC_ERROR_FILE": "",
    }
    if loopback is not None:
        found |= {name: os.environ.get(name, loopback) for name in INTERFACES}
    return found


@contextmanager
def _quietly() -> Iterator[None]:
    loggers = [logging.getLogger(f"torch.distributed.elastic.{name}") for name in _LOUD]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
