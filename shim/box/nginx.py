"""nginx on this box: its configuration, its workers, and what it answers."""

import contextlib
import http.client
import os
import re
import shutil
import ssl
from collections.abc import Iterator

from ..errors import Misconfigured
from .layout import NGINX_UNIT, STOPPED
from .nginx_config import Directive, Site, parse
from .programs import run, wait_until
from .systemd import systemctl, unit_property

TIMEOUT_SECONDS = 10


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
    result = run(nginx_command(), "-T", "-q")
    if result.returncode != 0:
        # such as: 2026/11/24 14:36:01 [emerg] 2042#2042: unknown directive "nonsense" in …
        fault = re.search(r"\[emerg\] (?:\d+#\d+: )?(.*)", result.stderr)
        raise Misconfigured(
            f"nginx: {fault[1] if fault else 'nginx -t fails'}",
            "correct nginx's configuration",
        )
    return parse(result.stdout), result.stderr


def reload_nginx() -> None:
    """Reload or start nginx; return when its old workers accept no more requests."""
    workers = _workers()
    systemctl("reload-or-restart", NGINX_UNIT)
    wait_until(lambda: not workers & _workers(), _failed("nginx does not reload"))


def wait_for_site(site: Site) -> None:
    """Wait until nginx answers as our site does; raises Misconfigured."""
    wait_until(lambda: answers(site), _failed("nginx does not serve the site"))


def answers(site: Site) -> bool:
    """Return whether nginx answers as our site does, or as it does while it is stopped."""
    with (
        contextlib.suppress(OSError, http.client.HTTPException),
        asked(site, "/") as answer,
    ):
        if answer.status == 503:
            return os.path.lexists(STOPPED)
        return answer.status == 404 and bool(answer.getheader("Referrer-Policy"))
    return False


@contextlib.contextmanager
def asked(site: Site, target: str) -> Iterator[http.client.HTTPResponse]:
    """Request the path `target` of a site from this box, and yield the answer.

    Raises OSError or http.client.HTTPException when there is none within
    TIMEOUT_SECONDS.
    """
    # the certificate is for the name that clients use, not for this address
    context = ssl._create_unverified_context() if site.tls else None  # noqa: S323
    connection = (
        http.client.HTTPSConnection(
            site.address, site.port, timeout=TIMEOUT_SECONDS, context=context
        )
        if site.tls
        else http.client.HTTPConnection(
            site.address, site.port, timeout=TIMEOUT_SECONDS
        )
    )
    headers = {"Host": site.server_name, "User-Agent": "record-shim check"}
    with contextlib.closing(connection):
        connection.request("GET", target, headers=headers)
        yield connection.getresponse()


def _workers() -> set[int]:
    """Return the process ids of nginx's workers, without those that are shutting down."""
    main = unit_property(NGINX_UNIT, "MainPID")
    workers = set()
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        with open(f"/proc/{main}/task/{main}/children", encoding="ascii") as file:
            children = file.read().split()
        for pid in children:
            with open(f"/proc/{pid}/cmdline", encoding="ascii") as file:
                # nginx 1.22, ngx_worker_process_cycle
                if "worker process\0" in f"{file.read()}\0":
                    workers.add(int(pid))
    return workers


def _failed(problem: str) -> Misconfigured:
    return Misconfigured(
        problem,
        "run journalctl -u nginx -n 20 and see /var/log/nginx/error.log",
    )
