"""Running other programs, and waiting for what they do."""

import os
import pwd
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping

from ..errors import Misconfigured

WAIT_SECONDS = 10
# longer than systemd waits for a unit to start (DefaultTimeoutStartSec=90s)
COMMAND_SECONDS = 120


def run(
    *command: str,
    user: str | None = None,
    environ: Mapping[str, str] | None = None,
    seconds: float = COMMAND_SECONDS,
) -> subprocess.CompletedProcess[str]:
    """Run a command without stdin; return its exit status and output.

    It has the rights of `user` if given, and the environment `environ` instead of the
    caller's. Raises Misconfigured when there is no such user, or when the command has not
    ended after `seconds`.
    """
    uid = gid = groups = None
    if user is not None:
        try:
            entry = pwd.getpwnam(user)
        except KeyError:
            raise Misconfigured(f"there is no user {user}") from None
        uid, gid = entry.pw_uid, entry.pw_gid
        groups = os.getgrouplist(user, gid)
    process = subprocess.Popen(  # noqa: S603
        command,
        # a directory that every user can enter
        cwd="/",
        user=uid,
        group=gid,
        extra_groups=groups,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        # not waited for: a process that a file system blocks does not end
        process.kill()
        name = shlex.join([os.path.basename(command[0]), *command[1:]])
        raise Misconfigured(
            f"{name} has not ended after {seconds:.0f} s",
            f"run {shlex.join(command)} to see what it waits for",
        ) from None
    except BaseException:
        # a signal ends this command: what it started must not go on beside a rollback
        process.kill()
        raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def wait_until(condition: Callable[[], bool], otherwise: Misconfigured) -> None:
    """Wait until `condition` holds; raises `otherwise` after WAIT_SECONDS."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise otherwise
        time.sleep(0.05)
