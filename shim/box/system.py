"""The storage box: where things lie on it, its systemd and its nginx."""

import contextlib
import http.client
import os
import re
import shlex
import shutil
import ssl
import subprocess
from collections.abc import Iterator

from ..errors import Misconfigured
from ..tokens.keys import API, JWE
from . import nginx_config as site
from .templates import UNITS

DIRECTORY = "/etc/record-shim"
KEY_FILES = {API: f"{DIRECTORY}/key", JWE: f"{DIRECTORY}/jwe-key"}
SETTINGS = f"{DIRECTORY}/settings"
SITE = "/etc/nginx/conf.d/record-shim.conf"
UNIT_DIRECTORY = "/etc/systemd/system"
_, SERVICE_UNIT = UNITS


def require() -> None:
    """Raise Misconfigured unless this is root, on a box with systemd and nginx."""
    if os.geteuid() != 0:
        raise Misconfigured("only root may do this: run it as root, or with sudo")
    # sd_booted(3)
    if not os.path.isdir("/run/systemd/system"):
        raise Misconfigured("systemd does not run here; see `record-shim render`")
    nginx_command()


def key_files() -> dict[str, str]:
    """Return the key files that are there, as the environment variables they stand for."""
    return {x: path for x, path in KEY_FILES.items() if os.path.lexists(path)}


def environ() -> dict[str, str]:
    """Return the settings that a command on this box has, whoever calls it.

    They are the service's, with the key files that the caller may read. Elsewhere there
    are none. Raises Misconfigured.
    """
    readable = {x: y for x, y in key_files().items() if os.access(y, os.R_OK)}
    return {**readable, **settings()}


def nginx_command() -> str:
    """Return the path of nginx; raises Misconfigured when there is none."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    command = shutil.which("nginx", path=path)
    if command is None:
        raise Misconfigured("nginx is not installed: run apt-get install nginx")
    return command


def nginx_config() -> tuple[site.Directive, str]:
    """Return the configuration that nginx would load now, and nginx's warnings.

    Raises Misconfigured with nginx's own words when nginx would not load it.
    """
    result = run(nginx_command(), "-T", "-q")
    if result.returncode != 0:
        # such as: 2026/11/24 14:36:01 [emerg] 2042#2042: unknown directive "nonsense" in …
        fault = re.search(r"\[emerg\] (?:\d+#\d+: )?(.*)", result.stderr)
        raise Misconfigured(f"nginx: {fault[1] if fault else 'nginx -t fails'}")
    return site.parse(result.stdout), result.stderr


def systemctl(*args: str) -> None:
    """Run systemctl; raises Misconfigured when it fails."""
    result = run("systemctl", "--quiet", *args)
    if result.returncode != 0:
        raise Misconfigured(
            f"systemctl {' '.join(args)} failed; journalctl -u {args[-1]} -n 20 says why"
        )


def state(unit: str, name: str = "ActiveState") -> str:
    """Return systemd's property `name` of `unit`, such as "active"."""
    return run(
        "systemctl", "show", f"--property={name}", "--value", unit
    ).stdout.strip()


def nginx_workers() -> set[int]:
    """Return the process ids of nginx's workers, without those that are on their way out."""
    main = state("nginx.service", "MainPID")
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


def settings() -> dict[str, str]:
    """Return the SHIM_ settings in the settings file, as systemd reads them.

    Raises Misconfigured when it cannot be read. Source: systemd.exec(5),
    "EnvironmentFile=".
    """
    try:
        with open(SETTINGS, encoding="utf-8") as file:
            lines = [x.strip() for x in file if x.strip()[:1] not in ("", "#", ";")]
        split = [shlex.split(x)[0].partition("=") for x in lines]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{SETTINGS}: {error}") from None
    return {name: value for name, _, value in split if name.startswith("SHIM_")}


@contextlib.contextmanager
def asked(of: site.Site, target: str) -> Iterator[http.client.HTTPResponse]:
    """Ask nginx, from this box, for the path `target` of a site, and give the answer.

    Raises OSError or http.client.HTTPException when there is none within 10 s.
    """
    # whether the certificate is right is between the site and its clients' names for it
    context = ssl._create_unverified_context() if of.tls else None  # noqa: S323
    connection = (
        http.client.HTTPSConnection(of.address, of.port, timeout=10, context=context)
        if of.tls
        else http.client.HTTPConnection(of.address, of.port, timeout=10)
    )
    headers = {"Host": of.server_name, "User-Agent": "record-shim check"}
    with contextlib.closing(connection):
        connection.request("GET", target, headers=headers)
        yield connection.getresponse()


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command without stdin, and return how it ended and what it printed."""
    return subprocess.run(  # noqa: S603
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
