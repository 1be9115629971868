"""nginx on this box: its configuration, its workers, and what it answers."""

import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import ssl
from collections.abc import Iterator
from enum import Enum

from ..errors import Misconfigured
from .layout import NGINX_UNIT, STOPPED
from .nginx_config import Directive, Listen, Site, parse
from .programs import run, wait_until
from .systemd import systemctl, unit_property

# longer than nginx waits for the endpoint (proxy_read_timeout)
TIMEOUT_SECONDS = 15
# nginx looks up the host names in its configuration, which can take long
_TEST_SECONDS = 30
# nginx 1.22, ngx_worker_process_cycle
_WORKER = "nginx: worker process"
_OLD_WORKER = f"{_WORKER} is shutting down"


class Answering(Enum):
    """Who answers where our site should."""

    SITE = "our site"
    STOPPED_SITE = "our site, while it is stopped"
    OTHER = "something else"


def nginx_command() -> str:
    """Return the path of nginx; raises Misconfigured when it is not installed."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    command = shutil.which("nginx", path=path)
    if command is None:
        raise Misconfigured("nginx is not installed", "run apt-get install nginx")
    return command


def nginx_version() -> tuple[int, int, int]:
    """Return the version of nginx; raises Misconfigured when it is not installed."""
    # nginx version: nginx/1.26.3 (Ubuntu)
    printed = run(nginx_command(), "-v").stderr
    version = re.search(r"/([0-9]+)\.([0-9]+)\.([0-9]+)", printed)
    if version is None:
        raise Misconfigured(
            f"nginx -v prints no version but {printed.strip()!r}",
            "install Debian's nginx",
        )
    return int(version[1]), int(version[2]), int(version[3])


def nginx_config() -> tuple[Directive, str]:
    """Return the configuration that nginx would load now, and nginx's warnings.

    Raises Misconfigured with nginx's own message when the configuration is invalid.
    """
    result = run(nginx_command(), "-T", "-q", seconds=_TEST_SECONDS)
    if result.returncode != 0:
        # such as: 2026/11/24 14:36:01 [emerg] 2042#2042: unknown directive "nonsense" in …
        fault = re.search(r"\[emerg\] (?:\d+#\d+: )?(.*)", result.stderr)
        problem = fault[1] if fault else "nginx -t fails"
        raise Misconfigured(
            f"nginx: {problem}",
            "restore the file; if it belongs to record-shim's site, run record-shim install"
            " with another --certificate or with --no-certificate"
            if "cannot load certificate" in problem
            else "correct nginx's configuration",
        )
    return parse(result.stdout), result.stderr


def reload_nginx(*, start: bool = False) -> None:
    """Reload nginx; return when its old workers accept no more requests.

    An nginx that does not run stays as it is, unless it is to `start`.
    """
    workers = _workers()
    command = "reload-or-restart" if start else "try-reload-or-restart"
    systemctl(command, NGINX_UNIT)
    wait_until(lambda: not workers & _workers(), _failed("nginx does not reload"))


def end_old_workers() -> None:
    """End the downloads that nginx's old workers still serve after a reload."""

    def ended() -> bool:
        workers = _workers(_OLD_WORKER)
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        return not workers

    wait_until(ended, _failed("nginx's old workers do not end"))


def wait_for_site(site: Site) -> None:
    """Wait until nginx answers as our site does; raises Misconfigured."""
    wait_until(lambda: answers(site), _failed("nginx does not serve the site"))


def answers(site: Site) -> bool:
    """Return whether nginx answers as our site does, or as it does while it is stopped."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        who = answering(site, site.listens[0], site.server_name)
        stopped = os.path.lexists(STOPPED)
        return who is Answering.SITE or (who is Answering.STOPPED_SITE and stopped)
    return False


def answering(site: Site, listen: Listen, host: str) -> Answering:
    """Return who answers at `listen` under the name `host`, without sending a token.

    Raises OSError or http.client.HTTPException when nobody does.
    """
    with asked(listen, host, "/") as answer:
        text = answer.read(4096).decode("utf-8", "replace")
    policy = answer.getheader("Referrer-Policy")
    if answer.status == 404 and policy and site.not_found in (None, text):
        return Answering.SITE
    if answer.status == 503 and site.unavailable in (None, text):
        return Answering.STOPPED_SITE
    return Answering.OTHER


@contextlib.contextmanager
def asked(listen: Listen, host: str, target: str) -> Iterator[http.client.HTTPResponse]:
    """Request the path `target` of the site `host` from this box, and yield the answer.

    Raises OSError or http.client.HTTPException when there is none within
    TIMEOUT_SECONDS.
    """
    where = (listen.address, listen.port)
    with contextlib.ExitStack() as closing:
        stream = closing.enter_context(socket.create_connection(where, TIMEOUT_SECONDS))
        if listen.tls:
            # another check verifies the certificate
            context = ssl._create_unverified_context()  # noqa: S323
            name = None if host == "_" else host
            stream = closing.enter_context(
                context.wrap_socket(stream, server_hostname=name)
            )
        connection = http.client.HTTPConnection(*where)
        connection.sock = stream
        headers = {"Host": host, "User-Agent": "record-shim check"}
        connection.request("GET", target, headers=headers)
        yield closing.enter_context(connection.getresponse())


def _workers(title: str = _WORKER) -> set[int]:
    """Return the process ids of nginx's children with this title."""
    main = unit_property(NGINX_UNIT, "MainPID")
    children = _content(f"/proc/{main}/task/{main}/children").split()
    return {
        int(pid)
        for pid in children
        if _content(f"/proc/{pid}/cmdline").partition("\0")[0] == title
    }


def _content(path: str) -> str:
    """Return the content of a file in /proc, "" if its process has ended."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _failed(problem: str) -> Misconfigured:
    return Misconfigured(
        problem,
        "run journalctl -u nginx -n 20 and see /var/log/nginx/error.log",
    )
