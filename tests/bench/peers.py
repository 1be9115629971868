"""What is timed: record-shim in its forms, and its alternatives on the same records."""

import base64
import contextlib
import hashlib
import os
import re
import secrets
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from support.links import TEST_KEY, ecb_target, jwe_target
from support.stack import Stack, StackError, free_port, stop
from support.stack_nginx import user_directive

from .load import children

HERE = Path(__file__).parent
APPS = HERE / "apps"
SIZES = {"19 kB": 19_000, "1 MB": 1_000_000, "10 MB": 10_000_000}
PATHS = {size: f"/{number}.wav" for number, size in enumerate(SIZES)}
COLD_LINKS = 20_000

BARE = "nginx, static file, no log"
STATIC = "nginx, static file"
SECURE_LINK = "nginx, secure_link"
LUA = "nginx, AES in Lua"
CACHED_HOT = "record-shim, cached form, hot"
PLAIN_HOT = "record-shim, plain form, hot"
CACHED_COLD = "record-shim, cached form, cold"
PLAIN_COLD = "record-shim, plain form, cold"
PLAIN_COLD_JWE = "record-shim, plain form, cold, JWE"
OLDER = "record-shim 0.1.0, plain form, cold"
EMPTY_FLASK = "empty Flask view"
EMPTY = "empty WSGI application"
SEND_FILE = "Flask send_file"


@dataclass
class Peer:
    """A server; its `targets` (by file size) are requested in turn."""

    name: str
    port: int
    targets: dict[str, list[str]]
    nginx: int | None  # main processes, None without one
    python: int | None = None
    empty_answer: bool = False
    cache: Path | None = None  # emptied before each timing


@contextlib.contextmanager
def started(plain: Stack, cached: Stack, older: Stack | None) -> Iterator[list[Peer]]:
    """Start the alternatives, and give everything that is timed."""
    names = ("bare", "static", "secure_link", "lua", "empty", "empty_flask")
    ports = {name: free_port() for name in (*names, "send_file")}
    secret = secrets.token_hex(16)
    with contextlib.ExitStack() as closing:
        python = {}
        for name in ("empty", "empty_flask"):
            socket = plain.root / f"{name}.sock"
            app = _gunicorn(f"{name}:app", f"unix:{socket}", plain)
            python[name] = closing.enter_context(app)
        python["send_file"] = closing.enter_context(
            _gunicorn(
                "send_file:app",
                f"127.0.0.1:{ports['send_file']}",
                plain,
                RECORDS=str(plain.records),
            )
        )
        nginx = closing.enter_context(_nginx(plain, ports, secret))

        hot = {size: [ecb_target(path)] for size, path in PATHS.items()}
        cold_paths = [f"/cold/{number}.wav" for number in range(COLD_LINKS)]
        cold = {"19 kB": [ecb_target(path) for path in cold_paths]}
        tomorrow = time.time() + 86400
        jwe = {"19 kB": [jwe_target(path, exp=tomorrow) for path in cold_paths]}
        files = {size: [path] for size, path in PATHS.items()}
        signed = {size: [_signed(path, secret)] for size, path in PATHS.items()}
        peers = [
            Peer(BARE, ports["bare"], files, nginx),
            Peer(STATIC, ports["static"], files, nginx),
            Peer(SECURE_LINK, ports["secure_link"], signed, nginx),
            Peer(LUA, ports["lua"], hot, nginx),
            _ours(CACHED_HOT, cached, hot),
            _ours(PLAIN_HOT, plain, hot),
            _ours(CACHED_COLD, cached, cold, cached.root / "cache"),
            _ours(PLAIN_COLD_JWE, plain, jwe),
        ]
        if older:
            peers.append(_ours(OLDER, older, cold))
        peers.append(_ours(PLAIN_COLD, plain, cold))
        for name, title in (("empty_flask", EMPTY_FLASK), ("empty", EMPTY)):
            peer = Peer(title, ports[name], cold, nginx, python[name], True)
            peers.append(peer)
        peers.append(
            Peer(SEND_FILE, ports["send_file"], hot, None, python["send_file"])
        )
        yield peers


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


def fetch(port: int, target: str) -> bytes:
    url = f"http://127.0.0.1:{port}{target}"
    with urllib.request.urlopen(url, timeout=60) as answer:
        body: bytes = answer.read()
    return body


def add_cold_records(stack: Stack) -> None:
    """Make COLD_LINKS records of one small file."""
    (stack.records / "cold").mkdir()
    for number in range(COLD_LINKS):
        os.link(stack.records / "0.wav", stack.records / f"cold/{number}.wav")


def _ours(
    name: str, stack: Stack, targets: dict[str, list[str]], cache: Path | None = None
) -> Peer:
    assert stack.endpoint
    nginx = int((stack.root / "nginx.pid").read_text())
    return Peer(name, stack.port, targets, nginx, stack.endpoint.pid, cache=cache)


@contextlib.contextmanager
def _gunicorn(app: str, bind: str, stack: Stack, **environ: str) -> Iterator[int]:
    """Run one of apps/ as record-shim is run; give its main process id."""
    process = stack.gunicorn(bind, f"--pythonpath={APPS}", app, **environ)
    try:
        stack.wait(lambda: bool(children(process.pid)), process, "endpoint.log")
        yield process.pid
    finally:
        stop(process)


@contextlib.contextmanager
def _nginx(stack: Stack, ports: dict[str, int], secret: str) -> Iterator[int]:
    """Run the nginx of peers.conf; give its main process id."""
    root = stack.root
    template = Environment(undefined=StrictUndefined).from_string(
        (HERE / "peers.conf").read_text()
    )
    text = template.render(
        user=user_directive(),
        root=root,
        records=stack.records,
        ports=ports,
        secret=secret,
        key=TEST_KEY,
        audit_log=audit_log((root / "conf.d" / "record-shim.conf").read_text()),
    )
    (root / "peers.conf").write_text(text)
    process = subprocess.Popen(
        ["nginx", "-p", root, "-c", "peers.conf", "-e", "logs/peers.error.log"],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        stack.wait(lambda: _answers(ports["bare"]), process, "peers.error.log")
        yield process.pid
    finally:
        stop(process)


def audit_log(site: str) -> str:
    """Return the maps and the log format of record-shim's own `site`, for its peers."""
    found = re.search(
        r"^map \$http_range .*?^log_format .*?;$", site, re.MULTILINE | re.DOTALL
    )
    assert found
    return found[0].replace("$upstream_http_x_accel_redirect", "$uri")


def _signed(path: str, secret: str) -> str:
    digest = hashlib.md5(f"9999999999{path} {secret}".encode()).digest()
    md5 = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return f"{path}?md5={md5}&expires=9999999999"


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError):
        return bool(fetch(port, "/0.wav"))
    return False
