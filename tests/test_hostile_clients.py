"""What clients that mean harm can do to nginx, its logs and the box's memory."""

import base64
import contextlib
import itertools
import json
import os
import re
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.links import TEST_JWE_KEY, TEST_KEY, Targets, ecb_target, jwe_target
from support.raw_http import fetch, get
from support.recordings import MP3
from support.stack import Stack, free_port, running
from support.waiting import wait_for
from support.wrk import command

from shim import gunicorn_conf

pytestmark = pytest.mark.needs("nginx")

KEYS = {"key": TEST_KEY, "jwe_key": TEST_JWE_KEY}


def last_line(stack: Stack) -> str:
    return stack.log("record-shim.log").splitlines()[-1]


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_the_body_of_a_get_is_not_spooled(
    stack: Stack, target_of: Targets, chunked: bool
) -> None:
    """A11: nginx refuses a large body before it asks the endpoint. 1 kB changes nothing."""
    target = target_of(MP3)
    whole = get(stack.port, target).body
    assert fetch(stack.port, target, body=b"x" * 1024)[0].body == whole
    body = b"x" * 900_000
    headers = {}
    if chunked:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        headers = {"Transfer-Encoding": "chunked"}
    [answer] = fetch(stack.port, target, headers=headers, body=body)
    if chunked and stack.cache_time:
        # nginx asks the endpoint without a body, and then discards the body
        assert answer.body == whole
    else:
        assert answer.status == 413
        assert answer.header("Content-Type") == "text/plain"
        assert b"Links need no request body" in answer.body


@pytest.mark.parametrize(
    ("sent", "logged"),
    [("x" * 200, "x" * 200), ("x" * 201, "x" * 200), ('"' * 7_900, '"' * 200)],
    ids=["200", "201", "quotes"],
)
def test_long_headers_are_cut_in_the_audit_log(
    stack: Stack, target_of: Targets, sent: str, logged: str
) -> None:
    """A6: a line of the audit log stays short, and is JSON."""
    get(stack.port, target_of(MP3), User_Agent=sent)
    get(stack.port, target_of(MP3), Range=sent)

    def lines(field: str) -> list[str]:
        log = stack.log("record-shim.log").splitlines()
        return [line for line in log if json.loads(line)[field] == logged]

    wait_for(lambda: bool(lines("user_agent") and lines("range")))
    assert max(map(len, lines("user_agent") + lines("range"))) < 1_000


@pytest.mark.parametrize(
    "version", ["", " HTTP/1.1\r\nHost: a\r\n"], ids=["0.9", "1.1"]
)
def test_a_request_without_a_status_is_logged_as_json(
    stack: Stack, target_of: Targets, version: str
) -> None:
    """A10: the client asks, and resets the connection while the endpoint hangs."""
    assert stack.endpoint
    pid = stack.endpoint.pid
    wait_for(lambda: len(children(pid)) == gunicorn_conf.workers)
    workers = children(pid)
    numbers = itertools.count()

    def is_logged() -> bool:
        before = stack.log("record-shim.log")
        with stopped(workers):
            # a new link each time, so that the endpoint is asked in the cached form, too
            target = target_of(f"/reset/{len(version)}/{next(numbers)}.mp3")
            client = socket.create_connection(("127.0.0.1", stack.port))
            client.sendall(f"GET {target}{version}\r\n".encode())
            time.sleep(0.1)
            # without lingering, so that it is reset
            client.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            client.close()
            time.sleep(0.1)
        wait_for(lambda: stack.log("record-shim.log") != before)
        lines = stack.log("record-shim.log").removeprefix(before).splitlines()
        # 499 in the plain form, and none in the cached form
        return [json.loads(line)["status"] for line in lines] in ([499], [0])

    wait_for(is_logged)


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


@contextlib.contextmanager
def stopped(processes: list[int]) -> Iterator[None]:
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


def spliced() -> Iterator[str]:
    """Yield different valid targets that anyone can make who has one ECB link."""
    sealed = base64.urlsafe_b64decode(ecb_target(MP3)[1:])
    first, second, last = sealed[:16], sealed[16:32], sealed[32:]
    for middle in itertools.product((first, second), repeat=15):
        token = first + b"".join(middle) + last
        yield "/" + base64.urlsafe_b64encode(token).decode()


@pytest.mark.needs("wrk")
def test_a_flood_of_valid_tokens_cannot_fill_the_memory() -> None:
    """A3: 25,000 tokens leave at most 8,192 entries of 4 kB, and no request fails."""
    with running({MP3: b"a"}, free_port(), **KEYS, cache_time="10m") as stack:
        lines = stack.root / "tmp/spliced"
        lines.write_text("\n".join(spliced()))
        peak_entries = peak_bytes = 0

        def is_flooded() -> bool:
            nonlocal peak_entries, peak_bytes
            blocks = []
            for file in (stack.root / "cache").rglob("*"):
                with contextlib.suppress(FileNotFoundError):
                    if file.is_file():
                        blocks.append(file.stat().st_blocks)
            peak_entries = max(peak_entries, len(blocks))
            peak_bytes = max(peak_bytes, sum(blocks) * 512)
            return stack.log("record-shim.log").count("\n") > 25_000

        flood = subprocess.Popen(
            command(stack.port, lines, 120), stdout=subprocess.DEVNULL
        )
        try:
            wait_for(is_flooded)
            assert flood.poll() is None
            assert get(stack.port, ecb_target(MP3)).body == b"a"
        finally:
            flood.kill()
            flood.wait()
        print(f"at most {peak_entries} entries, {peak_bytes / 1e6:.1f} MB")
        assert 7_000 < peak_entries <= 8_192
        assert peak_bytes <= 8_192 * 4096
        answered = re.findall(r'"status":(\d+)', stack.log("record-shim.log"))
        # 0 and 499 are requests that were under way when the flood ended
        assert set(answered) <= {"404", "200", "0", "499"}


def test_a_link_opens_while_the_cache_has_no_room() -> None:
    """A3: downloads use all entries of a small keys zone; the site has a fallback."""
    paths = [f"/{number}.wav" for number in range(50)]
    content = {path: b"x" * 5_000_000 for path in paths} | {MP3: b"a"}
    with running(content, free_port(), **KEYS, cache_time="10m") as stack:
        stack.reconfigure("record_shim:1m", "record_shim:12k")
        with contextlib.ExitStack() as downloads:
            # the first request fills the entry, the second one holds it
            for path in paths:
                assert fetch(stack.port, ecb_target(path), "HEAD")[0].status == 200
                client = downloads.enter_context(socket.socket())
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
                client.connect(("127.0.0.1", stack.port))
                request = f"GET {ecb_target(path)} HTTP/1.1\r\nHost: a\r\n\r\n"
                client.sendall(request.encode())
                assert client.recv(12) == b"HTTP/1.1 200"
            cached = [x for x in (stack.root / "cache").rglob("*") if x.is_file()]
            assert len(cached) < len(paths)
            answer = get(stack.port, ecb_target(MP3), Range="bytes=0-0")
            assert (answer.status, answer.body) == (206, b"a")
            assert answer.header("Content-Disposition")
            assert json.loads(last_line(stack))["record"] == f"/_records{MP3}"
            assert get(stack.port, ecb_target("/none.mp3")).status == 404
            assert get(stack.port, jwe_target(MP3, exp=1000)).status == 410
            stack.stop_endpoint()
            assert get(stack.port, ecb_target(f"/{MP3}")).status == 503
            stack.start_endpoint()
