"""Running other programs, and waiting for what they do."""

import subprocess
import time
from collections.abc import Callable

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


def wait_until(condition: Callable[[], bool], otherwise: Misconfigured) -> None:
    """Wait until `condition` holds; raises `otherwise` after WAIT_SECONDS."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise otherwise
        time.sleep(0.05)
