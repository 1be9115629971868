"""The endpoint itself: how fast it starts, how much memory it takes."""

import contextlib
import re
import time
from pathlib import Path
from typing import NamedTuple

from support.links import ecb_target, jwe_target
from support.stack import Stack

from .load import children, wrk
from .peers import fetch

LOAD_SECONDS = 2


class Service(NamedTuple):
    start_ms: float  # from gunicorn's start to the first link that opens
    pss_mb: float  # after load with links of both formats


def restarted(stack: Stack, workers: int) -> Service:
    """Restart the endpoint with `workers`, and measure it."""
    stack.stop_endpoint()
    start = time.perf_counter()
    stack.start_endpoint(f"--workers={workers}")
    start_ms = (_first_answer(stack) - start) * 1000
    targets = [
        f(f"/cold/{n}.wav") for n in range(500) for f in (ecb_target, jwe_target)
    ]
    wrk(stack.port, targets, stack.root / "tmp", LOAD_SECONDS)
    return Service(start_ms, memory(stack))


def memory(stack: Stack) -> float:
    """Return the PSS of all the endpoint's processes, in MB."""
    assert stack.endpoint
    pids = [stack.endpoint.pid, *children(stack.endpoint.pid)]
    texts = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
    found = [re.search(r"^Pss: +(\d+)", text, re.MULTILINE) for text in texts]
    return sum(int(each[1]) for each in found if each) / 1024


def _first_answer(stack: Stack) -> float:
    while True:
        with contextlib.suppress(OSError):
            fetch(stack.port, ecb_target("/0.wav"))
            return time.perf_counter()
