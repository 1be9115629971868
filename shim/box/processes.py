"""Other programs, and other users."""

import contextlib
import os
import pwd
import subprocess
import time
from collections.abc import Callable, Iterator

from ..errors import Misconfigured

WAIT_SECONDS = 10


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command without stdin; return its exit status and output."""
    return subprocess.run(  # noqa: S603
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )


def require_root() -> None:
    """Raise Misconfigured unless this is root."""
    if os.geteuid() != 0:
        raise Misconfigured("only root may do this", "run it as root or with sudo")


def wait_until(condition: Callable[[], bool], otherwise: Misconfigured) -> None:
    """Wait until `condition` holds; raises `otherwise` after WAIT_SECONDS."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise otherwise
        time.sleep(0.05)


@contextlib.contextmanager
def acting_as(user: str) -> Iterator[None]:
    """Give root the user id and all groups of `user` within the block."""
    entry = pwd.getpwnam(user)
    groups = os.getgroups()
    os.setgroups(os.getgrouplist(user, entry.pw_gid))
    os.setegid(entry.pw_gid)
    os.seteuid(entry.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
