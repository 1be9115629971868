"""Slow clients: many that nginx serves at once, a few that occupy every worker."""

import contextlib
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import TypedDict

from support.links import TEST_KEY
from support.stack import free_port, running
from support.stack_nginx import Limits

from .load import wrk

CLIENTS = Path(__file__).parents[1] / "support" / "clients"
NUMBER, BYTES_PER_SECOND = 10_000, 5_000
# Debian's are for about 500 downloads a worker; these are from docs/operations.md
LIMITS = Limits(8192, 16384)


class Crowd(TypedDict):
    """What clients/slow.py prints."""

    idle_ms: float
    busy_ms: float
    opened: int
    served: int


def crowd(files: dict[str, bytes], slow_target: str, target: str) -> Crowd:
    """Serve `files` in the plain form, read `slow_target` slowly over NUMBER connections,
    and time `target` beside them.
    """
    command = [
        sys.executable,
        str(CLIENTS / "slow.py"),
        str(NUMBER),
        str(BYTES_PER_SECOND),
    ]
    port = free_port()
    with running(files, port, key=TEST_KEY, reuseport=True, limits=LIMITS):
        result = subprocess.run(
            [*command, f"127.0.0.1:{port}", slow_target, target],
            check=True,
            stdout=subprocess.PIPE,
        )
    printed: Crowd = json.loads(result.stdout)
    return printed


def rate_beside(
    clients: int, port: int, target: str, scratch: Path, seconds: float
) -> float:
    """Return requests per second while `clients` connections do not read on."""
    request = f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    with contextlib.ExitStack() as closing:
        for _ in range(clients):
            client = closing.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            client.connect(("127.0.0.1", port))
            client.sendall(request)
            assert client.recv(12) == b"HTTP/1.1 200"
        return wrk(port, [target], scratch, seconds).rate
