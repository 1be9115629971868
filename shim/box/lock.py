"""One command at a time changes a box."""

import contextlib
import fcntl
import os
from collections.abc import Iterator

from ..errors import Misconfigured
from .layout import LOCK


@contextlib.contextmanager
def locked(command: str) -> Iterator[None]:
    """Keep other commands from changing this box within the block.

    `command`, such as "install", is what they say is running. The kernel releases the
    lock when the process ends, however it ends. Raises Misconfigured when another command
    holds it.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    with open(os.open(LOCK, flags, 0o600), "r+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Misconfigured(
                f"record-shim {file.read() or 'in another process'} is running",
                "wait until it has finished",
            ) from None
        file.truncate(0)
        file.write(f"{command} (process {os.getpid()})")
        file.flush()
        yield
