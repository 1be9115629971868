"""Real nginx and gunicorn on this machine, for the demo and for the tests.

If root starts them, the workers of both run as nobody. Otherwise everything runs as the
caller.
"""

import contextlib
import errno
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .stack_nginx import DEBIAN, Limits, configure_nginx, nogroup

BIN = Path(sys.executable).parent
START_SECONDS, STOP_SECONDS = 30, 40


class StackError(Exception):
    """nginx or gunicorn did not start; the reason, in one line."""


@dataclass
class Stack:
    """A running nginx and gunicorn, with everything they write below `root`."""

    root: Path
    port: int
    environ: dict[str, str]
    static_port: int | None = None
    cache_time: str | None = None
    site_options: Sequence[str] = ()
    # of the server that redirects to https
    http_port: int = 0
    endpoint: subprocess.Popen[bytes] | None = None
    nginx: subprocess.Popen[bytes] | None = None

    @property
    def tls(self) -> bool:
        return any(x.startswith("--certificate=") for x in self.site_options)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def records(self) -> Path:
        return self.root / "records"

    def log(self, name: str) -> str:
        return (self.root / "logs" / name).read_text(encoding="utf-8")

    def command(self, *args: str) -> str:
        """Run record-shim with this stack's settings; return its standard output."""
        try:
            result = subprocess.run(
                [BIN / "record-shim", *args],
                env=self.environ,
                check=False,
                text=True,
                capture_output=True,
                start_new_session=True,
            )
        except OSError as error:
            raise StackError(f"{error.filename}: {error.strerror}") from None
        if result.returncode:
            raise StackError(result.stderr.strip())
        return result.stdout

    def link(self, path: str, *options: str) -> str:
        base_url = ("--base-url", self.url)
        return self.command("link", *base_url, *options, "--", path).strip()

    def gunicorn(
        self, bind: str, *args: str, **environ: str
    ) -> subprocess.Popen[bytes]:
        """Start gunicorn, with `args` after its own arguments."""
        as_nobody = [] if os.getuid() else ["--user=nobody", f"--group={nogroup()}"]
        with open(self.root / "logs" / "endpoint.log", "ab") as log:
            return subprocess.Popen(
                [
                    BIN / "gunicorn",
                    "--config=python:shim.gunicorn_conf",
                    f"--bind={bind}",
                    *as_nobody,
                    *args,
                ],
                env=self.environ | environ,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # The terminal's Ctrl-C must not reach it: it is stopped in order.
                start_new_session=True,
            )

    def start_endpoint(self, *args: str) -> None:
        socket_path = self.root / "endpoint.sock"
        self.endpoint = self.gunicorn(f"unix:{socket_path}", *args)
        self.wait(socket_path.exists, self.endpoint, "endpoint.log")

    def stop_endpoint(self) -> None:
        assert self.endpoint is not None
        stop(self.endpoint)

    def start_nginx(self) -> None:
        self.nginx = subprocess.Popen(
            [
                *("nginx", "-p", self.root, "-c", "nginx.conf"),
                *("-e", "logs/nginx.error.log"),
            ],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        # The endpoint refuses this token, so a 404 shows that both run.
        url = f"{self.url}/{'A' * 22}"
        self.wait(lambda: _answers(url), self.nginx, "nginx.error.log")

    def stop_nginx(self) -> None:
        assert self.nginx is not None
        stop(self.nginx)

    def reconfigure(self, old: str, new: str) -> None:
        """Replace `old` in the site by `new`, and restart nginx."""
        site = self.root / "conf.d/record-shim.conf"
        text = site.read_text()
        assert old in text, old
        site.write_text(text.replace(old, new))
        self.stop_nginx()
        self.start_nginx()

    def wait(
        self, ready: Callable[[], bool], process: subprocess.Popen[bytes], log: str
    ) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                lines = [line for line in self.log(log).splitlines() if line.strip()]
                raise StackError(f"{log}: {lines[-1] if lines else 'no answer'}")
            time.sleep(0.02)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop nginx or gunicorn with SIGTERM, or with SIGKILL if that takes too long."""
    process.terminate()
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(
    recordings: dict[str, bytes],
    port: int,
    *,
    key: str | None = None,
    jwe_key: str | None = None,
    page: str = "",
    static_port: int | None = None,
    settings: dict[str, str] | None = None,
    cache_time: str | None = None,
    reuseport: bool = False,
    limits: Limits = DEBIAN,
    site_options: Sequence[str] = (),
    files: dict[str, str] | None = None,
) -> Iterator[Stack]:
    """Serve `recordings` (path: content) on `port` until the block ends.

    A key that is not given is generated. `cache_time` selects the cached form of the nginx
    site. `reuseport` shares connections evenly among nginx's workers. `page` is the HTML
    of a front page. `static_port` serves the same files statically. `limits` are those of
    each nginx worker. `site_options` go to `render nginx`, and `files` (path: content) to
    the stack's directory. Raises StackError if something does not start.
    """
    _check_port(port)
    if not shutil.which("nginx"):
        raise StackError("nginx is not installed; run as root: apt-get install nginx")
    with contextlib.ExitStack() as cleanup:
        root = Path(tempfile.mkdtemp(prefix="record-shim-"))
        cleanup.callback(shutil.rmtree, root)
        # nginx's workers must reach the records; the key files have their own mode.
        root.chmod(0o755)
        for name in ("logs", "tmp", "conf.d", "nginx.d", "records", "page"):
            (root / name).mkdir()
        environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SHIM_", "GUNICORN_"))
        }
        environ |= {
            "SHIM_KEY_FILE": str(root / "key"),
            "SHIM_JWE_KEY_FILE": str(root / "jwe-key"),
        } | (settings or {})
        stack = Stack(root, port, environ, static_port, cache_time, site_options)
        for name, given in (("key", key), ("jwe-key", jwe_key)):
            if given is None:
                stack.command("keygen", "--output", str(root / name))
            else:
                (root / name).touch(0o600)
                (root / name).write_text(given)
        for path, content in recordings.items():
            file = stack.records / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        for name, text in (files or {}).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        stack.http_port = free_port() if stack.tls else 0
        configure_nginx(stack, page, " reuseport" if reuseport else "", limits)
        stack.start_endpoint()
        cleanup.callback(stack.stop_endpoint)
        stack.start_nginx()
        cleanup.callback(stack.stop_nginx)
        yield stack


def _check_port(port: int) -> None:
    if not 0 < port < 65536:
        raise StackError(f"port {port}: must be between 1 and 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            in_use = error.errno == errno.EADDRINUSE
            problem = " is already in use" if in_use else f": {error.strerror}"
            raise StackError(
                f"port {port}{problem}; choose another with --port"
            ) from None


def _answers(url: str) -> bool:
    # the certificate of a test is of its own authority
    unverified = urllib.request.HTTPSHandler(context=ssl._create_unverified_context())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), unverified)
    try:
        opener.open(url, timeout=5).close()
    except urllib.error.HTTPError as error:
        return error.code == 404
    except OSError:
        return False
    return True
