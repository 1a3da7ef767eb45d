"""`python -m model.distributed.rank`: one of the processes that train together, as `ranks` starts them."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Client

from model.distributed.parent import die_with_parent
from model.errors import one_line

ADDRESS, KEY, PARENT = "JOULESEARCH_RANK_PORT", "JOULESEARCH_RANK_KEY", "JOULESEARCH_RANK_PARENT"
LOOPBACK = "127.0.0.1"


def main() -> int:
    """Train under the driver's orders until it hangs up. An error goes to the driver in one line."""
    die_with_parent(int(os.environ[PARENT]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver, which decides
    rank, processes = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    from model.distributed.messages import Failed, Hello

    address, key = (LOOPBACK, int(os.environ[ADDRESS])), bytes.fromhex(os.environ.pop(KEY))
    try:
        connection = Client(address, authkey=key)
    except OSError:  # the driver has hung up already
        return 1
    with connection:
        connection.send(Hello(rank, os.getpid()))
        try:
            from model.distributed.member import serve

            serve(connection, rank, processes)
        except (EOFError, ConnectionError):  # the driver wants no more
            return 0
        except Exception as error:
            with suppress(OSError):  # nobody listens any more
                connection.send(Failed(one_line(error)))
            return 1
    return 0


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # communication threads are waited for by nobody
