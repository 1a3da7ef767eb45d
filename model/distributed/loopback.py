"""A rendezvous of one machine's processes that only this machine can reach.

torch's own backends listen on every interface, without a password (2.13). This one hands torch's store a
socket that is bound to the loopback, at a port that the system picks.
"""

from __future__ import annotations

import socket

from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.distributed.elastic.rendezvous import (
    RendezvousHandler,
    RendezvousInfo,
    RendezvousParameters,
    RendezvousStoreInfo,
    rendezvous_handler_registry,
)

from model.distributed.rank import LOOPBACK

BACKEND = "joulesearch-loopback"


class LoopbackRendezvous(RendezvousHandler):
    """Complete as soon as it is asked for: the only agent is this one. The ranks share its store."""

    def __init__(self, run_id: str, processes: int) -> None:
        self._run_id = run_id
        self._closed = False
        with socket.socket() as listening:
            listening.bind((LOOPBACK, 0))
            listening.listen(processes + 2)  # and the agent
            self._port: int = listening.getsockname()[1]
            self._store: TCPStore | None = TCPStore(
                LOOPBACK,
                self._port,
                is_master=True,
                wait_for_workers=False,
                master_listen_fd=listening.detach(),
            )

    @property
    def use_agent_store(self) -> bool:
        return True

    def get_backend(self) -> str:
        return BACKEND

    def next_rendezvous(self) -> RendezvousInfo:
        assert self._store is not None
        return RendezvousInfo(self._store, 0, 1, RendezvousStoreInfo(LOOPBACK, self._port))

    def is_closed(self) -> bool:
        return self._closed

    def set_closed(self) -> None:
        self._closed = True

    def num_nodes_waiting(self) -> int:
        return 0

    def get_run_id(self) -> str:
        return self._run_id

    def shutdown(self) -> bool:
        self._closed, self._store = True, None
        return True


def _create(parameters: RendezvousParameters) -> RendezvousHandler:
    return LoopbackRendezvous(parameters.run_id, int(parameters.get("processes")))


rendezvous_handler_registry.register(BACKEND, _create)
