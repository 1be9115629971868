"""Running other programs, and waiting for what they do."""

import os
import pwd
import subprocess
import time
from collections.abc import Callable, Mapping

from ..errors import Misconfigured

WAIT_SECONDS = 10


def run(
    *command: str,
    user: str | None = None,
    environ: Mapping[str, str] | None = None,
    seconds: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command without stdin; return its exit status and output.

    It has the rights of `user` if given, and the environment `environ` instead of the
    caller's. Raises Misconfigured when there is no such user, or when the command takes
    longer than `seconds`.
    """
    uid = gid = groups = None
    if user is not None:
        try:
            entry = pwd.getpwnam(user)
        except KeyError:
            raise Misconfigured(f"there is no user {user}") from None
        uid, gid = entry.pw_uid, entry.pw_gid
        groups = os.getgrouplist(user, gid)
    try:
        return subprocess.run(  # noqa: S603
            command,
            # a directory that every user can enter
            cwd="/",
            user=uid,
            group=gid,
            extra_groups=groups,
            env=environ,
            timeout=seconds,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        raise Misconfigured(
            f"{command[0]} did not finish within {seconds:g} seconds"
        ) from None


def wait_until(condition: Callable[[], bool], otherwise: Misconfigured) -> None:
    """Wait until `condition` holds; raises `otherwise` after WAIT_SECONDS."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise otherwise
        time.sleep(0.05)
