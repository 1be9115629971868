"""The templates for nginx and systemd, and the values that may be filled in."""

import ipaddress
import os
import re
import sys
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from ..errors import Misconfigured
from ..tokens import ecb, jwe
from .layout import ACME_DIR, CACHE_DIR, LOG_DIR, NGINX_D, SOCKET

CACHE_TIME = "10m"
HTTP_PORT, HTTPS_PORT = 80, 443
OLDEST_NGINX = (1, 22, 1)  # Debian 12
# from this version on, `http2 on` replaces a parameter of `listen`
_HTTP2_DIRECTIVE = (1, 25, 1)

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?", re.IGNORECASE)
_QUOTABLE_PATH = re.compile(r'/[^"\\$\x00-\x1f\x7f]*')
_TIME = re.compile(r"([1-9][0-9]{0,4})([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9._~/@+-]+")


def nginx_site(
    *,
    records: str,
    listen: str | None,
    server_name: str,
    internal_prefix: str,
    certificate: str | None = None,
    certificate_key: str | None = None,
    nginx_version: tuple[int, int, int] = OLDEST_NGINX,
    socket: str = SOCKET,
    log_dir: str = LOG_DIR,
    cache_time: str | None = None,
    cache_dir: str = CACHE_DIR,
    acme_dir: str = ACME_DIR,
    nginx_d: str = NGINX_D,
) -> str:
    """Return the nginx site, for the http block.

    Without `listen` it is on port 80, or on 443 with a `certificate`. With a certificate,
    port 80 redirects to https; `nginx_version` decides how HTTP/2 is turned on. With
    `cache_time`, such as 10m, it has the cached form. Raises Misconfigured when a value is
    invalid or could be taken by nginx for more than a value.
    """
    if listen is None:
        listen = default_listen(certificate)
    _, port = parse_listen(listen)
    address = listen.rpartition(":")[0]
    if server_name != "_" and not _HOST_NAME.fullmatch(server_name):
        raise Misconfigured(
            f"--server-name {server_name!r}: not a host name",
            "use a name such as storage.example.com",
        )
    server_name = canonical_name(server_name)
    http2_directive = nginx_version >= _HTTP2_DIRECTIVE
    tls = ""
    if certificate is not None:
        tls = " ssl" if http2_directive else " ssl http2"
        _check_path("--certificate", certificate, _QUOTABLE_PATH)
        _check_path("--certificate-key", certificate_key or "", _QUOTABLE_PATH)
        if port == HTTP_PORT:
            raise Misconfigured(
                f"--listen {listen}: port {HTTP_PORT} redirects to https",
                f"use another port with --certificate, such as {HTTPS_PORT}",
            )
    host = "$host" if server_name == "_" else server_name
    return _render(
        "nginx/record-shim.conf",
        records=_check_path("--records", records, _QUOTABLE_PATH).rstrip("/"),
        listens=_listens(address, port, tls),
        http_listens=_listens(address, HTTP_PORT),
        server_name=server_name,
        https_host=host if port == HTTPS_PORT else f"{host}:{port}",
        certificate=certificate,
        certificate_key=certificate_key,
        http2_directive=http2_directive,
        socket=_check_path("--socket", socket, _PLAIN_PATH),
        log_dir=_check_path("--log-dir", log_dir, _PLAIN_PATH).rstrip("/"),
        internal_prefix=internal_prefix,
        ecb_token_max=ecb.TOKEN_MAX,
        jwe_token_max=jwe.TOKEN_MAX,
        cache_time=cache_time,
        cache_seconds=_seconds(cache_time) if cache_time else 0,
        cache_dir=_check_path("--cache-dir", cache_dir, _PLAIN_PATH).rstrip("/"),
        acme_dir=_check_path("the ACME directory", acme_dir, _PLAIN_PATH),
        nginx_d=_check_path("the directory of nginx lines", nginx_d, _PLAIN_PATH),
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


def default_listen(certificate: str | None) -> str:
    """Return where the site listens if nothing else is asked for."""
    return str(HTTPS_PORT if certificate else HTTP_PORT)


def canonical_name(server_name: str) -> str:
    """Return a host name as nginx compares it: in lower case, without a final dot."""
    return server_name.lower().removesuffix(".")


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


def _listens(address: str, port: int, options: str = "") -> list[str]:
    where = [f"{address}:{port}"] if address else [str(port), f"[::]:{port}"]
    return [f"{each}{options}" for each in where]


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
