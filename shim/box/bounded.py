"""A time limit for work that may block in the kernel, as on a dead network file system."""

import os
import pickle
import select
import signal
import time
from collections.abc import Callable
from typing import NoReturn, TypeVar

from ..errors import Misconfigured

# for what is read from a disk
SECONDS = 20

T = TypeVar("T")


def within(seconds: float, work: Callable[[], T], late: Misconfigured) -> T:
    """Return what `work` returns, or raise what it raises.

    Raises `late` after `seconds`. The work is done in a child process. Not even SIGKILL
    ends a process that a file system blocks, so a child that is late is not waited for.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _do(work, writer)
    os.close(writer)
    with open(reader, "rb") as pipe:
        outcome = _read(pipe.fileno(), time.monotonic() + seconds)
    if outcome is None:
        os.kill(pid, signal.SIGKILL)
        raise late
    os.waitpid(pid, 0)
    if not outcome:
        raise Misconfigured("a check ended without a result", "run it again")
    # the child, which runs the same code, has pickled it
    result, error = pickle.loads(outcome)  # noqa: S301
    if error is not None:
        raise error
    answer: T = result
    return answer


def unread(what: str) -> Misconfigured:
    """Return the error for `what`, on a disk, not being readable within SECONDS."""
    return Misconfigured(
        f"{what}: no answer within {SECONDS} s",
        "check its disk or network file system, which findmnt shows",
    )


def _do(work: Callable[[], T], writer: int) -> NoReturn:
    """Write the outcome of `work` to `writer`, and end this process."""
    # A child that is late must not keep the lock, nor the pipe to whoever reads this
    # command's output.
    os.closerange(3, writer)
    os.closerange(writer + 1, os.sysconf("SC_OPEN_MAX"))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    try:
        try:
            outcome = pickle.dumps((work(), None))
        except Exception as error:  # noqa: BLE001 # the parent raises it
            outcome = pickle.dumps((None, error))
        with open(writer, "wb") as pipe:
            pipe.write(outcome)
    finally:
        os._exit(0)


def _read(pipe: int, deadline: float) -> bytes | None:
    """Return all that is written to `pipe`, or None after the `deadline`."""
    content = b""
    while select.select([pipe], [], [], max(0, deadline - time.monotonic()))[0]:
        block = os.read(pipe, 1 << 16)
        if not block:
            return content
        content += block
    return None
