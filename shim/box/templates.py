"""The templates for nginx and systemd, and the values that may be filled in."""

import ipaddress
import os
import re
import sys
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from ..errors import Misconfigured
from ..tokens import ecb, jwe
from .layout import CACHE_DIR, LOG_DIR, SOCKET

CACHE_TIME = "10m"

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?", re.IGNORECASE)
_QUOTABLE_PATH = re.compile(r'/[^"\\$\x00-\x1f\x7f]*')
_TIME = re.compile(r"([1-9][0-9]{0,4})([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9._~/@+-]+")


def nginx_site(
    *,
    records: str,
    listen: str,
    server_name: str,
    internal_prefix: str,
    socket: str = SOCKET,
    log_dir: str = LOG_DIR,
    cache_time: str | None = None,
    cache_dir: str = CACHE_DIR,
) -> str:
    """Return the nginx site, for the http block.

    With `cache_time`, such as 10m, it has the cached form. Raises Misconfigured when a
    value is invalid or could be taken by nginx for more than a value.
    """
    parse_listen(listen)
    if server_name != "_" and not _HOST_NAME.fullmatch(server_name):
        raise Misconfigured(
            f"--server-name {server_name!r}: not a host name",
            "use a name such as storage.example.com",
        )
    return _render(
        "nginx/record-shim.conf",
        records=_check_path("--records", records, _QUOTABLE_PATH).rstrip("/"),
        listen=listen,
        server_name=server_name,
        socket=_check_path("--socket", socket, _PLAIN_PATH),
        log_dir=_check_path("--log-dir", log_dir, _PLAIN_PATH).rstrip("/"),
        internal_prefix=internal_prefix,
        ecb_token_max=ecb.TOKEN_MAX,
        jwe_token_max=jwe.TOKEN_MAX,
        cache_time=cache_time,
        cache_seconds=_seconds(cache_time) if cache_time else 0,
        cache_dir=_check_path("--cache-dir", cache_dir, _PLAIN_PATH).rstrip("/"),
    )


def unit(name: str, records: str) -> str:
    """Return the systemd unit `name`, one of UNITS, for this virtual environment.

    The records directory is hidden from the service. Raises Misconfigured when a path
    contains characters that are special to systemd.
    """
    venv = _check_path("the virtual environment", sys.prefix, _PLAIN_PATH)
    records = _check_path("--records", records, _QUOTABLE_PATH)
    # % starts a specifier (systemd.unit(5)); systemd wants the path normalized
    hidden = os.path.normpath(records).replace("%", "%%")
    return _render(f"systemd/{name}", venv=venv, records=hidden)


def parse_listen(listen: str) -> tuple[str | None, int]:
    """Return address and port of PORT, ADDR:PORT or [ADDR]:PORT; None means every address.

    Raises Misconfigured.
    """
    address, _, port = listen.rpartition(":")
    try:
        valid = re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) < 65536
        if address.startswith("["):
            valid = valid and address.endswith("]")
            address = str(ipaddress.IPv6Address(address.strip("[]")))
        elif ":" in listen:
            ipaddress.IPv4Address(address)
    except ValueError:
        valid = False
    if not valid:
        raise Misconfigured(
            f"--listen {listen!r}: not a port or address",
            "use PORT or ADDR:PORT, such as 8080 or 127.0.0.1:8080",
        )
    return address or None, int(port)


def _seconds(cache_time: str) -> int:
    time = _TIME.fullmatch(cache_time)
    if not time:
        raise Misconfigured(
            f"--cache-time {cache_time!r}: not a time",
            "use a number of seconds, minutes or hours, such as 90s, 10m or 1h",
        )
    return int(time[1]) * _SECONDS[time[2]]


def _render(name: str, **values: object) -> str:
    template = files("shim").joinpath(name).read_text(encoding="utf-8")
    # this is configuration, not HTML: the values are checked, not escaped
    environment = Environment(  # noqa: S701
        undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.from_string(template).render(values)


def _check_path(option: str, path: str, allowed: re.Pattern[str]) -> str:
    if not allowed.fullmatch(path):
        raise Misconfigured(
            f"{option} {path!r}: not usable in a configuration file",
            "use an absolute path without characters that are special to nginx or systemd",
        )
    return path
