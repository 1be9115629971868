"""docs/bench.md: the results in tables."""

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

from support.slow_disk import READ_SECONDS
from support.wrk import CONNECTIONS

from .peers import COLD_LINKS, SIZES, Peer
from .results import Results, figures

INTRODUCTION = """\
# Benchmarks

`./run bench` generates this page. Each figure is the median of {rounds} rounds. Within a round, every server is
measured for {seconds} s with wrk and {connections} connections, on the machine that also runs wrk. The order is
reversed from one round to the next. Ratios are calculated within a round.

Machine: {machine}.

![requests per second](bench.svg)
"""
EXPLANATION = f"""
- **Hot**: the same link again and again. **Cold**: {COLD_LINKS:,} different links in turn.
- **Like for like**: every server writes the same audit log, sends the same headers and reads files in nginx's thread
  pool (`aio threads`). Only "nginx, static file, no log" does none of this. It shows the limit of the machine.
- **Cold reads** download records from a FUSE file system on which each read takes {READ_SECONDS * 1000:.0f} ms, while
  another client requests a record that is in memory. nginx's thread pool has 32 threads per worker by default. When all
  of them wait for the disk, reads from memory wait too. docs/operations.md describes how to enlarge the pool.
- **Empty Flask view** and **empty WSGI application** run on the same gunicorn and do nothing. They are the upper limit for
  the plain form with cold links. They send no file.
- **0.1.0** runs with its own nginx site and its own number of gunicorn workers.
- CPU times are in seconds per 1,000 requests.
"""
MISSED = """
### Missed targets

Profiles of 0.2.0 on the machine above:

- **Cold links.** nginx's thread pool costs more than the second worker per core gains. nginx uses 0.13 s of CPU per
  1,000 cold links, and without `aio threads` 0.09 s: 6,300 links per second instead of 5,300. In `perf record` of an
  nginx worker, 40 % of the samples are switches between threads and wake-ups (`finish_task_switch`,
  `_raw_spin_unlock_irqrestore`). This is the price for a slow disk that delays nobody.
- In `py-spy record` of a gunicorn worker, 40 % of the time is gunicorn's own work on the request, 22 % Flask and
  Werkzeug, 21 % waiting for nginx to close the connection (`close_graceful`), and 11 % record-shim.
- **Hot links** miss by 0.02 against Lua. The difference between two runs is as large.
"""
HEADER = """\
| server | requests/s | MB/s | median ms | 99 % ms | nginx CPU | Python CPU |
| --- | --: | --: | --: | --: | --: | --: |"""


def report(results: Results, peers: list[Peer], rounds: int, seconds: float) -> str:
    """Return the page."""
    introduction = INTRODUCTION.format(
        rounds=rounds, seconds=seconds, connections=CONNECTIONS, machine=machine()
    )
    lines = ["## Targets", "", "| what | target | measured |", "| --- | --- | --- |"]
    lines += [f"| {x.what} | {x.target} | {x.measured} |" for x in figures(results)]
    lines += [EXPLANATION + MISSED]
    for size, number in SIZES.items():
        lines += [f"## Records of {size}", "", HEADER]
        lines += [
            _row(results, peer, size, number) for peer in peers if size in peer.targets
        ]
        lines.append("")
    return introduction + "\n" + "\n".join(lines)


def _row(results: Results, peer: Peer, size: str, number: int) -> str:
    t = results.median(peer.name, size)
    sent = "-" if peer.empty_answer else f"{t.rate * number / 1e6:,.0f}"
    return (
        f"| {peer.name} | {t.rate:,.0f} | {sent} | {t.median_ms:.2f} |"
        f" {t.slow_ms:.2f} | {t.nginx_cpu:.3f} | {t.python_cpu:.3f} |"
    )


def machine() -> str:
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal: +(\d+)", Path("/proc/meminfo").read_text())
    nginx = subprocess.run(["nginx", "-v"], check=True, capture_output=True, text=True)
    parts = [
        f"{len(os.sched_getaffinity(0))} cores of {cpu[1] if cpu else platform.machine()}",
        f"{int(memory[1]) // 1024**2 if memory else '?'} GB of memory",
        f"Linux {platform.release()}",
        nginx.stderr.strip().removeprefix("nginx version: ").replace("/", " "),
        f"Python {platform.python_version()}",
        *(f"{name} {version(name)}" for name in ("gunicorn", "Flask")),
    ]
    return ", ".join(parts)
