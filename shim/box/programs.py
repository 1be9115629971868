"""Running other programs, and waiting for what they do."""

import os
import shlex
import subprocess
import time
from collections.abc import Callable

from ..errors import Misconfigured

WAIT_SECONDS = 10
# longer than systemd waits for a unit to start (DefaultTimeoutStartSec=90s)
COMMAND_SECONDS = 120


def run(
    *command: str, seconds: float = COMMAND_SECONDS
) -> subprocess.CompletedProcess[str]:
    """Run a command without stdin; return its exit status and output.

    Raises Misconfigured when it has not ended after `seconds`.
    """
    process = subprocess.Popen(  # noqa: S603
        command,
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
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def wait_until(condition: Callable[[], bool], otherwise: Misconfigured) -> None:
    """Wait until `condition` holds; raises `otherwise` after WAIT_SECONDS."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise otherwise
        time.sleep(0.05)
