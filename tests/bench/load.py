"""Load from wrk: how fast a server answers, and what CPU time that takes."""

import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from support.stack import StackError
from support.wrk import command

MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


class Wrk(NamedTuple):
    requests: int
    rate: float  # requests per second
    median_ms: float
    slow_ms: float  # 99th percentile


class Timing(NamedTuple):
    rate: float
    median_ms: float
    slow_ms: float
    nginx_cpu: float  # seconds per 1,000 requests
    python_cpu: float


def wrk(port: int, targets: list[str], scratch: Path, seconds: float) -> Wrk:
    """Request `targets` in turn over CONNECTIONS connections.

    Raises StackError when a response is not a success.
    """
    lines = scratch / "targets"
    lines.write_text("\n".join(targets))
    run = command(port, lines, seconds)
    output = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    fault = re.search(
        "Non-2xx.*|Socket errors: (?!connect 0, read 0, write 0).*", output
    )
    if fault:
        raise StackError(f"port {port}: {fault[0]}")
    [(number, elapsed, unit)] = re.findall(r"(\d+) requests in ([\d.]+)(s|m)", output)
    passed = float(elapsed) * (60 if unit == "m" else 1)
    times = {
        name: float(value) * MILLISECONDS[unit]
        for name, value, unit in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)", output)
    }
    return Wrk(
        int(number), int(number) / passed, times.get("50", 0), times.get("99", 0)
    )


def timed(
    port: int,
    targets: list[str],
    scratch: Path,
    seconds: float,
    nginx: int | None,
    python: int | None,
) -> Timing:
    """Time a server whose main processes are `nginx` and `python`."""
    before = cpu_seconds(nginx), cpu_seconds(python)
    result = wrk(port, targets, scratch, seconds)
    after = cpu_seconds(nginx), cpu_seconds(python)
    thousands = max(result.requests, 1) / 1000
    return Timing(
        result.rate,
        result.median_ms,
        result.slow_ms,
        (after[0] - before[0]) / thousands,
        (after[1] - before[1]) / thousands,
    )


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def cpu_seconds(main: int | None) -> float:
    """Return the CPU time of a main process and its workers, including ended ones."""
    if main is None:
        return 0

    # proc(5): utime, stime, cutime and cstime; the name in brackets can contain blanks
    def ticks(pid: int, fields: slice) -> int:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, stat[fields]))

    total = ticks(main, slice(11, 15))
    total += sum(ticks(pid, slice(11, 13)) for pid in children(main))
    return total / os.sysconf("SC_CLK_TCK")
