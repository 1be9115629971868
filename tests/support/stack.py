"""Real nginx and gunicorn on this machine, for the demo and for the tests.

Started by root, the workers of both run as nobody; else everything runs as the caller.
"""

import contextlib
import grp
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

BIN = Path(sys.executable).parent
START_SECONDS = 30

NGINX_CONF = """\
{user}
daemon off;
worker_processes 2;
pid {root}/nginx.pid;
error_log {root}/logs/nginx.error.log;
worker_rlimit_nofile 65536;
events {{ worker_connections 8192; }}
http {{
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log off;
    client_body_temp_path {root}/tmp/body;
    proxy_temp_path {root}/tmp/proxy;
    fastcgi_temp_path {root}/tmp/fastcgi;
    uwsgi_temp_path {root}/tmp/uwsgi;
    scgi_temp_path {root}/tmp/scgi;
    include {root}/conf.d/*.conf;
}}
"""


class StackError(Exception):
    """What kept nginx or gunicorn from starting, in one line."""


@dataclass
class Stack:
    """A running nginx and gunicorn, with everything they write below `root`."""

    root: Path
    port: int
    environ: dict[str, str]
    static_port: int | None = None
    cache_time: str | None = None
    endpoint: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

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

    def start_endpoint(self, *args: str) -> None:
        """Start gunicorn, with `args` behind its own."""
        as_nobody = [] if os.getuid() else ["--user=nobody", f"--group={_nogroup()}"]
        socket_path = self.root / "endpoint.sock"
        with open(self.root / "logs" / "endpoint.log", "ab") as log:
            self.endpoint = subprocess.Popen(
                [
                    BIN / "gunicorn",
                    "--config=python:shim.gunicorn_conf",
                    f"--bind=unix:{socket_path}",
                    *as_nobody,
                    *args,
                ],
                env=self.environ,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # the terminal's Ctrl-C is for us, who stop it in order
                start_new_session=True,
            )
        self.wait(socket_path.exists, self.endpoint, "endpoint.log")

    def stop_endpoint(self) -> None:
        assert self.endpoint is not None
        _stop(self.endpoint, signal.SIGTERM)

    def wait(
        self, ready: Callable[[], bool], process: subprocess.Popen[bytes], log: str
    ) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                lines = [line for line in self.log(log).splitlines() if line.strip()]
                raise StackError(f"{log}: {lines[-1] if lines else 'no answer'}")
            time.sleep(0.02)


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
) -> Iterator[Stack]:
    """Serve `recordings` (path: content) on `port` until the block ends.

    A key that is not given is made. With `cache_time`, nginx remembers opened tokens for
    so long; `reuseport` shares the connections evenly among its workers. `page` makes a
    front page for the stack; `static_port` serves the same files statically beside it.
    Raises StackError when something does not start.
    """
    _check_port(port)
    if not shutil.which("nginx"):
        raise StackError("nginx is not installed; run as root: apt-get install nginx")
    with contextlib.ExitStack() as cleanup:
        root = Path(tempfile.mkdtemp(prefix="record-shim-"))
        cleanup.callback(shutil.rmtree, root)
        # the key has its own mode; nginx's workers must get through to the records
        root.chmod(0o755)
        for name in ("logs", "tmp", "conf.d", "records", "page"):
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
        stack = Stack(root, port, environ, static_port, cache_time)
        for name, text in (("key", key), ("jwe-key", jwe_key)):
            if text is None:
                stack.command("keygen", "--output", str(root / name))
            else:
                (root / name).touch(0o600)
                (root / name).write_text(text)
        for path, content in recordings.items():
            file = stack.records / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        _configure_nginx(stack, page, " reuseport" if reuseport else "")
        stack.start_endpoint()
        cleanup.callback(stack.stop_endpoint)
        nginx = subprocess.Popen(
            ["nginx", "-p", root, "-c", "nginx.conf", "-e", "logs/nginx.error.log"],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        # SIGTERM: nginx's fast shutdown
        cleanup.callback(_stop, nginx, signal.SIGTERM)
        # through the endpoint, which refuses this
        stack.wait(
            lambda: _answers(f"{stack.url}/{'A' * 22}"), nginx, "nginx.error.log"
        )
        yield stack


def _configure_nginx(stack: Stack, page: str, listen_options: str) -> None:
    root = stack.root
    user = "" if os.getuid() else f"user nobody {_nogroup()};"
    (root / "nginx.conf").write_text(NGINX_CONF.format(root=root, user=user))
    cache = ["--cache", f"--cache-time={stack.cache_time}", f"--cache-dir={root}/cache"]
    site = stack.command(
        "render",
        "nginx",
        f"--records={stack.records}",
        f"--listen=127.0.0.1:{stack.port}",
        f"--socket={root}/endpoint.sock",
        f"--log-dir={root}/logs",
        *(cache if stack.cache_time else []),
    )
    if page:
        (root / "page" / "index.html").write_text(page, encoding="utf-8")
        # the site ends with the brace of its server
        site = site.rstrip().removesuffix("}") + (
            f"    location = / {{ root {root}/page; try_files /index.html =404;"
            " include /etc/nginx/mime.types; add_header Cache-Control no-store; }\n}\n"
        )
    listen = f"listen 127.0.0.1:{stack.port}"
    site = site.replace(f"{listen};", f"{listen}{listen_options};")
    (root / "conf.d" / "record-shim.conf").write_text(site)
    if stack.static_port:
        (root / "conf.d" / "static.conf").write_text(
            f"server {{ listen 127.0.0.1:{stack.static_port}; root {stack.records};"
            " server_tokens off; types { audio/wav wav; }"
            " include /etc/nginx/mime.types; }\n"
        )


def _check_port(port: int) -> None:
    if not 0 < port < 65536:
        raise StackError(f"port {port}: must be between 1 and 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise StackError(
                f"port {port} of 127.0.0.1 cannot be used ({error});"
                " choose another with --port"
            ) from None


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError as error:
        return error.code == 404
    except OSError:
        return False
    return True


def _nogroup() -> str:
    return grp.getgrgid(pwd.getpwnam("nobody").pw_gid).gr_name


def _stop(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    process.send_signal(how)
    try:
        process.wait(timeout=40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
