"""`./run bench [ROUNDS]`: record-shim and what else one would use, side by side.

Every round times every peer for SECONDS; ratios are taken within a round. With five
rounds or more, the default, the results are written to docs/.
"""

import base64
import contextlib
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, StrictUndefined

HERE = Path(__file__).parent
TESTS = HERE.parent
sys.path.insert(0, str(TESTS))

from support.stack import BIN, Stack, StackError, free_port, running

from shim.tokens import ecb, jwe
from shim.tokens.claims import Claims

ROUNDS, SECONDS, CONNECTIONS = 5, 3, 64
SIZES = {"19 kB": 19_000, "1 MB": 1_000_000, "10 MB": 10_000_000}
COLD_LINKS = 20_000
SLOW_CLIENTS = 10_000
WORKERS = 2
INTRODUCTION = (
    f"`./run bench` wrote this: medians of {{}} rounds of {SECONDS} s, alternating; wrk"
    f" with {CONNECTIONS} connections on the same machine. Ratios are taken within a round."
)
EXPLANATION = (
    f"CPU is in seconds per 1,000 requests. Cold is {COLD_LINKS:,} different links in"
    " turn, hot the same one over and over. tests/bench/ shows how each peer is set up."
)
KEY, JWE_KEY = bytes(range(32)), bytes(range(32, 64))  # for the bench only


@dataclass
class Peer:
    """Something that serves; `targets` are asked in turn, one file size each."""

    name: str
    port: int
    targets: dict[str, list[str]]
    nginx: int | None  # main processes
    python: int | None = None
    empty_answer: bool = False
    forget: Path | None = None


class Timing(NamedTuple):
    requests: float  # a second
    median_ms: float
    slow_ms: float  # 99th percentile
    nginx_cpu: float  # seconds per 1,000 requests
    python_cpu: float


def token(path: str) -> str:
    return "/" + ecb.seal(path, (KEY,))


def sealed_token(path: str) -> str:
    return "/" + jwe.seal(Claims(path, exp=time.time() + 86400), (JWE_KEY,))


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(x) for x in text.split()]


def cpu_seconds(main: int | None) -> float:
    """Return what a main process and its workers have used, those that ended included."""
    if main is None:
        return 0

    # proc(5): utime, stime, cutime and cstime; a name in brackets may hold blanks
    def ticks(pid: int, fields: slice) -> int:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, stat[fields]))

    total = ticks(main, slice(11, 15))
    total += sum(ticks(pid, slice(11, 13)) for pid in children(main))
    return total / os.sysconf("SC_CLK_TCK")


def pss_mb(pids: list[int]) -> float:
    texts = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
    return (
        sum(int(re.search(r"^Pss: +(\d+)", x, re.MULTILINE)[1]) for x in texts) / 1024
    )


def fetch(port: int, target: str) -> bytes:
    url = f"http://127.0.0.1:{port}{target}"
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read()


def wrk(port: int, targets: list[str], scratch: Path, seconds: int) -> dict[str, float]:
    """Ask for `targets` over CONNECTIONS connections; wrk's figures, times in ms."""
    lines = scratch / "targets"
    lines.write_text("\n".join(targets))
    result = subprocess.run(
        [
            *("wrk", "--latency", "-t2", f"-c{CONNECTIONS}", f"-d{seconds}s"),
            *("-s", HERE / "targets.lua", f"http://127.0.0.1:{port}", "--", lines),
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    fault = re.search(
        "Non-2xx.*|Socket errors: (?!connect 0, read 0, write 0).*", result
    )
    if fault:
        raise StackError(f"port {port}: {fault[0]}")
    unit_ms = {"us": 0.001, "ms": 1, "s": 1000}
    percentiles = {
        name: float(number) * unit_ms[unit]
        for name, number, unit in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)", result)
    }
    [(number, elapsed, unit)] = re.findall(r"(\d+) requests in ([\d.]+)(s|m)", result)
    count = int(number)
    seconds_passed = float(elapsed) * (60 if unit == "m" else 1)
    return {"count": count, "rate": count / seconds_passed} | percentiles


def timed(peer: Peer, size: str, scratch: Path) -> Timing:
    if peer.forget:
        for file in peer.forget.rglob("*"):
            if file.is_file():
                file.unlink()
    before = cpu_seconds(peer.nginx), cpu_seconds(peer.python)
    figures = wrk(peer.port, peer.targets[size], scratch, SECONDS)
    after = cpu_seconds(peer.nginx), cpu_seconds(peer.python)
    thousands = max(figures["count"], 1) / 1000
    return Timing(
        figures["rate"],
        figures.get("50", 0),
        figures.get("99", 0),
        (after[0] - before[0]) / thousands,
        (after[1] - before[1]) / thousands,
    )


@contextlib.contextmanager
def gunicorn(app: str, bind: str, stack: Stack, **environ: str) -> Iterator[int]:
    """Run a WSGI application as record-shim's is run; give its main process id."""
    with open(stack.root / "logs" / "endpoint.log", "ab") as log:
        process = subprocess.Popen(
            [
                BIN / "gunicorn",
                "--config=python:shim.gunicorn_conf",
                f"--workers={WORKERS}",
                f"--bind={bind}",
                f"--pythonpath={HERE}",
                app,
            ],
            env=stack.environ | environ,
            cwd="/",
            stderr=log,
            start_new_session=True,
        )
    try:
        stack.wait(
            lambda: len(children(process.pid)) == WORKERS, process, "endpoint.log"
        )
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=40)


@contextlib.contextmanager
def peers(stack: Stack, cached: Stack) -> Iterator[list[Peer]]:
    """Start everything that is timed; `cached` has its records linked to `stack`'s."""
    root = stack.root
    names = ("static", "secure_link", "lua", "empty", "afternoon")
    ports = {name: free_port() for name in names}
    secret = secrets.token_hex(16)
    (root / "peers.conf").write_text(
        Environment(undefined=StrictUndefined)
        .from_string((HERE / "peers.conf").read_text())
        .render(
            user="" if os.getuid() else "user nobody nogroup;",
            root=root,
            records=stack.records,
            ports=ports,
            secret=secret,
            key=KEY.hex(),
        )
    )
    with contextlib.ExitStack() as closing:
        empty = closing.enter_context(
            gunicorn("empty:app", f"unix:{root}/empty.sock", stack)
        )
        if not os.getuid():
            shutil.chown(root / "empty.sock", "nobody")
        afternoon = closing.enter_context(
            gunicorn(
                "afternoon:app",
                f"127.0.0.1:{ports['afternoon']}",
                stack,
                RECORDS=str(stack.records),
            )
        )
        nginx = subprocess.Popen(
            ["nginx", "-p", root, "-c", "peers.conf", "-e", "logs/peers.error.log"],
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        closing.callback(nginx.wait, timeout=40)
        closing.callback(nginx.send_signal, signal.SIGTERM)
        stack.wait(lambda: _answers(ports["static"]), nginx, "peers.error.log")

        def signed(path: str) -> str:
            digest = hashlib.md5(f"9999999999{path} {secret}".encode()).digest()
            md5 = base64.urlsafe_b64encode(digest).decode().rstrip("=")
            return f"{path}?md5={md5}&expires=9999999999"

        paths = {size: f"/{number}.wav" for number, size in enumerate(SIZES)}
        hot = {size: [token(path)] for size, path in paths.items()}
        cold_paths = [f"/cold/{n}.wav" for n in range(COLD_LINKS)]
        cold = {"19 kB": [token(path) for path in cold_paths]}
        sealed = {"19 kB": [sealed_token(path) for path in cold_paths]}
        workers = nginx.pid
        assert stack.endpoint and cached.endpoint
        plain_nginx, cached_nginx = nginx_main(stack), nginx_main(cached)
        plain_python, cached_python = stack.endpoint.pid, cached.endpoint.pid
        yield [
            Peer(
                "nginx, static file",
                ports["static"],
                {k: [v] for k, v in paths.items()},
                workers,
            ),
            Peer(
                "nginx, secure_link",
                ports["secure_link"],
                {k: [signed(v)] for k, v in paths.items()},
                workers,
            ),
            Peer("nginx, AES in Lua", ports["lua"], hot, workers),
            Peer(
                "record-shim, cached, hot",
                cached.port,
                hot,
                cached_nginx,
                cached_python,
            ),
            Peer("record-shim, plain, hot", stack.port, hot, plain_nginx, plain_python),
            Peer(
                "record-shim, cached, cold",
                cached.port,
                cold,
                cached_nginx,
                cached_python,
                forget=cached.root / "cache",
            ),
            Peer(
                "record-shim, plain, cold", stack.port, cold, plain_nginx, plain_python
            ),
            Peer(
                "record-shim, plain, cold, sealed",
                stack.port,
                sealed,
                plain_nginx,
                plain_python,
            ),
            Peer(
                "empty WSGI application",
                ports["empty"],
                cold,
                workers,
                empty,
                empty_answer=True,
            ),
            Peer("Flask send_file", ports["afternoon"], hot, None, afternoon),
        ]


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError):
        return bool(fetch(port, "/0.wav"))
    return False


def nginx_main(stack: Stack) -> int:
    return int((stack.root / "nginx.pid").read_text())


def check(peer: Peer, contents: dict[str, bytes]) -> None:
    """Raise StackError unless `peer` sends the right bytes for its links."""
    for size, targets in peer.targets.items():
        for target in (targets[0], targets[-1]):
            try:
                body = fetch(peer.port, target)
            except OSError as error:
                raise StackError(f"{peer.name}: {error}") from None
            if body != (b"" if peer.empty_answer else contents[size]):
                raise StackError(f"{peer.name}: {len(body)} wrong bytes for {size}")


def slow_clients(
    number: int, rate: int, port: int, slow: str, target: str
) -> dict[str, float]:
    arguments = [str(number), str(rate), f"127.0.0.1:{port}", slow, target]
    result = subprocess.run(
        [sys.executable, TESTS / "support" / "clients" / "slow.py", *arguments],
        check=True,
        stdout=subprocess.PIPE,
    )
    return json.loads(result.stdout)


def held_up(port: int, scratch: Path, target: str) -> float:
    """Return requests a second while as many slow clients as workers read."""
    request = f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    with contextlib.ExitStack() as closing:
        for _ in range(WORKERS):
            client = closing.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            client.connect(("127.0.0.1", port))
            client.sendall(request)
            assert client.recv(12) == b"HTTP/1.1 200"
        return wrk(port, [target], scratch, SECONDS)["rate"]


def startup_ms(stack: Stack) -> float:
    """Return how long it takes from gunicorn's start to the first link that opens."""
    stack.stop_endpoint()
    start = time.perf_counter()
    stack.start_endpoint()
    while True:
        with contextlib.suppress(OSError):
            fetch(stack.port, token("/0.wav"))
            return (time.perf_counter() - start) * 1000


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


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    contents = {size: secrets.token_bytes(number) for size, number in SIZES.items()}
    files = {f"/{number}.wav": contents[x] for number, x in enumerate(SIZES)}
    environ = {"GUNICORN_CMD_ARGS": f"--workers={WORKERS}"}
    keys = {"key": KEY.hex(), "jwe_key": JWE_KEY.hex()}
    options = {**keys, "settings": environ, "reuseport": True}
    try:
        with (
            running(files, free_port(), **options) as stack,
            running(files, free_port(), cache_time="10m", **options) as cached,
        ):
            for each in (stack, cached):
                (each.records / "cold").mkdir()
                for number in range(COLD_LINKS):
                    os.link(each.records / "0.wav", each.records / f"cold/{number}.wav")
            with peers(stack, cached) as timed_peers:
                report = measure(timed_peers, contents, rounds, stack)
    except StackError as error:
        sys.exit(f"bench: {error}")
    print(report.text)
    if rounds >= ROUNDS:
        docs = TESTS.parent / "docs"
        (docs / "bench.md").write_text(report.text, "utf-8")
        show(report, docs.parent / "README.md")
        plot(report, docs / "bench.svg")


@dataclass
class Report:
    text: str
    summary: str
    rates: dict[tuple[str, str], float]


def measure(
    timed_peers: list[Peer], contents: dict[str, bytes], rounds: int, stack: Stack
) -> Report:
    scratch = stack.root / "tmp"
    for peer in timed_peers:
        check(peer, contents)
    timings: dict[tuple[str, str], list[Timing]] = {}
    for number in range(rounds):
        for size in SIZES:
            # alternating, so that no peer always comes after the same other one
            for peer in timed_peers[:: 1 if number % 2 == 0 else -1]:
                if size in peer.targets:
                    print(f"round {number + 1}: {size}, {peer.name}", file=sys.stderr)
                    key = (peer.name, size)
                    timings.setdefault(key, []).append(timed(peer, size, scratch))

    def ratio(ours: str, theirs: str, size: str) -> str:
        pairs = zip(timings[ours, size], timings[theirs, size], strict=True)
        return f"{statistics.median(a.requests / b.requests for a, b in pairs):.2f} ×"

    assert stack.endpoint
    big, small = token("/2.wav"), token("/0.wav")
    [afternoon] = [x for x in timed_peers if x.name == "Flask send_file"]
    held = [
        (held_up(stack.port, scratch, big), held_up(afternoon.port, scratch, big))
        for _ in range(rounds)
    ]
    ours, theirs = (statistics.median(x) for x in zip(*held, strict=True))
    slow = slow_clients(SLOW_CLIENTS, 5_000, stack.port, big, small)
    pss = pss_mb([stack.endpoint.pid, *children(stack.endpoint.pid)])
    startup = statistics.median(startup_ms(stack) for _ in range(5))
    figures = [
        (
            "hot link, cached, 19 kB, against AES in nginx's Lua module",
            "1.10 ×",
            ratio("record-shim, cached, hot", "nginx, AES in Lua", "19 kB"),
        ),
        (
            "hot link, cached, 19 kB, against the static file",
            "0.70 ×",
            ratio("record-shim, cached, hot", "nginx, static file", "19 kB"),
        ),
        (
            "10 MB, plain form, against the static file",
            "0.97 ×",
            ratio("record-shim, plain, hot", "nginx, static file", "10 MB"),
        ),
        (
            "cold links, plain form, against the empty WSGI application",
            "0.80 ×",
            ratio("record-shim, plain, cold", "empty WSGI application", "19 kB"),
        ),
        (
            "cold sealed links, plain form, against those of the API's format",
            "-",
            ratio(
                "record-shim, plain, cold, sealed", "record-shim, plain, cold", "19 kB"
            ),
        ),
        (
            f"10 MB against Flask `send_file`, beside {WORKERS} slow clients",
            "20 ×",
            f"{ours / theirs:.0f} ×" if theirs else f"{ours:.0f} a second against none",
        ),
        (
            "slow clients held, all served",
            f"{SLOW_CLIENTS:,}",
            f"{min(slow['opened'], slow['served']):,}",
        ),
        (
            "a new link's first byte, beside them and on the idle box",
            "-",
            f"{slow['busy_ms']} ms and {slow['idle_ms']} ms",
        ),
        (
            f"memory (PSS) of the service, {WORKERS} workers",
            "60 MB at most",
            f"{pss:.0f} MB",
        ),
        ("start of the endpoint to its first answer", "-", f"{startup:.0f} ms"),
    ]
    summary = [
        f"Machine: {machine()}.",
        "",
        "| what | to reach | measured |",
        "| --- | --- | --- |",
        *(f"| {what} | {goal} | {got} |" for what, goal, got in figures),
    ]
    lines = [
        "# Side by side",
        "",
        INTRODUCTION.format(rounds),
        "",
        "![requests a second](bench.svg)",
        "",
        *summary,
        "",
        EXPLANATION,
        "",
    ]
    rates = {}
    for size, number in SIZES.items():
        lines += [
            f"## {size}",
            "",
            "| peer | requests/s | MB/s | median ms | 99 % ms | nginx CPU | Python CPU |",
            "| --- | --: | --: | --: | --: | --: | --: |",
        ]
        for peer in timed_peers:
            if size not in peer.targets:
                continue
            t = Timing(
                *map(statistics.median, zip(*timings[peer.name, size], strict=True))
            )
            rates[peer.name, size] = t.requests
            sent = "-" if peer.empty_answer else f"{t.requests * number / 1e6:,.0f}"
            lines.append(
                f"| {peer.name} | {t.requests:,.0f} | {sent} | {t.median_ms:.2f} |"
                f" {t.slow_ms:.2f} | {t.nginx_cpu:.3f} | {t.python_cpu:.3f} |"
            )
        lines.append("")
    return Report("\n".join(lines), "\n".join(summary), rates)


def show(report: Report, readme: Path) -> None:
    """Put the figures to reach, and the machine, between the README's two marks."""
    before, mark, rest = readme.read_text("utf-8").partition("<!-- bench -->\n")
    after = rest[rest.index("<!-- end of bench -->") :]
    readme.write_text(f"{before}{mark}\n{report.summary}\n\n{after}", "utf-8")


def plot(report: Report, path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    # the same picture gives the same file
    matplotlib.rcParams |= {"svg.hashsalt": "record-shim", "font.size": 9}
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(SIZES), figsize=(10, 3), layout="constrained")
    for each, size in zip(axes, SIZES, strict=True):
        rates = {name: x for (name, of), x in report.rates.items() if of == size}
        colours = [
            "#2b6cb0" if x.startswith("record-shim") else "#a0aec0" for x in rates
        ]
        bars = each.barh(list(rates), list(rates.values()), color=colours)
        each.bar_label(bars, fmt="{:,.0f}", padding=2)
        each.set_title(f"{size}, requests/s")
        each.invert_yaxis()
        each.margins(x=0.3)
        each.spines[["top", "right"]].set_visible(False)
        each.set_xticks([])
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
