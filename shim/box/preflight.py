"""What is checked before anything changes."""

import contextlib
import errno
import os
import socket
import ssl
import stat
import sys
from pathlib import Path

from ..errors import Misconfigured
from .layout import NGINX_UNIT, SITE, STATE_DIR, UNITS
from .nginx import nginx_command
from .nginx_config import Directive, includes, listens_on
from .systemd import is_active, require_systemd, unit_property
from .templates import HTTP_PORT, default_listen, parse_listen
from .users import require_root

# what ProtectHome=, PrivateTmp= and InaccessiblePaths= of the service hide from it
_HIDDEN = (
    *("/home", "/root", "/run/user", "/tmp", "/var/tmp"),  # noqa: S108
    *("/srv", "/mnt", "/media", "/var/spool"),
)
_SYSTEM = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/proc", "/root", "/run", "/sbin"),
    *("/sys", "/usr", "/var/log", "/var/cache", STATE_DIR),
)
_NOT_RECORDS = (*_SYSTEM, "/home", "/var/lib/dpkg", sys.prefix)


def require_box() -> None:
    """Raise Misconfigured unless this is root, on a box with systemd and nginx."""
    require_root()
    require_systemd()
    nginx_command()


def check_records_directory(records: str) -> None:
    """Raise Misconfigured unless this can be the records directory.

    A directory of the system or of record-shim itself cannot: all its files could be
    fetched.
    """
    if records != records.strip():
        raise Misconfigured(
            f"--records {records!r}: starts or ends with a space", "rename it"
        )
    if not os.path.isdir(records):
        raise Misconfigured(
            f"--records {records!r}: no such directory", "create or mount it first"
        )
    real = Path(os.path.realpath(records))
    inside = next((x for x in _SYSTEM if real.is_relative_to(x)), None)
    around = next((x for x in _NOT_RECORDS if Path(x).is_relative_to(real)), None)
    if inside or around:
        raise Misconfigured(
            f"--records {records!r}: contains files that are not records, such as those in"
            f" {inside or around}",
            "use a directory that contains only recordings, such as /srv/records",
        )


def check_environment(records: str) -> None:
    """Raise Misconfigured when the service could not read Python and this package."""
    gunicorn = os.path.join(sys.prefix, "bin", "gunicorn")
    elsewhere = "install record-shim in a virtual environment such as /opt/record-shim"
    if not os.access(gunicorn, os.X_OK):
        raise Misconfigured(f"{gunicorn} is missing", elsewhere)
    for needed in (gunicorn, sys.executable, __file__):
        real = Path(os.path.realpath(needed))
        for hidden in (*_HIDDEN, os.path.realpath(records)):
            if real.is_relative_to(hidden):
                raise Misconfigured(
                    f"{real} is below {hidden}, which is hidden from the service",
                    elsewhere,
                )
        for each, right in ((real, "r"), *((x, "x") for x in real.parents)):
            bit = stat.S_IROTH if right == "r" else stat.S_IXOTH
            if not os.stat(each).st_mode & bit:
                raise Misconfigured(
                    f"{each} is not accessible to the service's user",
                    f"run chmod o+{right} on it, or create the virtual environment with"
                    " umask 022",
                )


def check_units() -> None:
    """Raise Misconfigured when the operator has masked a unit that is needed."""
    for each in (*UNITS, NGINX_UNIT):
        if unit_property(each, "UnitFileState") == "masked":
            raise Misconfigured(f"{each} is masked", f"run systemctl unmask {each}")


def check_includes(config: Directive) -> None:
    """Raise Misconfigured when nginx would not read the site."""
    if not includes(config, SITE):
        raise Misconfigured(
            f"nginx does not read {SITE}",
            "add `include /etc/nginx/conf.d/*.conf;` to the http block of nginx.conf",
        )


def check_certificate(certificate: str, key: str) -> None:
    """Raise Misconfigured unless these are a certificate and its private key."""
    for option, path in (("--certificate", certificate), ("--certificate-key", key)):
        if not os.path.isfile(path):
            raise Misconfigured(f"{option} {path!r}: no such file", "correct the path")
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # without a terminal, nginx could not ask for a password either
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        reason = (error.reason or "not valid").replace("_", " ").lower()
        raise Misconfigured(
            f"--certificate {certificate!r}, --certificate-key {key!r}: {reason}",
            "use a certificate with its chain and its own key without a password, in PEM"
            " format",
        ) from None
    except OSError as error:
        raise Misconfigured(f"--certificate-key {key!r}: {error.strerror}") from None


def check_ports(config: Directive, listen: str | None, certificate: str | None) -> None:
    """Raise Misconfigured when nginx cannot listen where the site needs it.

    nginx -t does not notice a port that another program uses (nginx 1.22,
    ngx_open_listening_sockets).
    """
    listen = listen or default_listen(certificate)
    address, port = parse_listen(listen)
    # with a certificate, port 80 redirects to https
    for each in {port, HTTP_PORT} if certificate else {port}:
        for family, every in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104
            if address and (":" in address) != (":" in every):
                continue
            error = _bind(family, address or every, each)
            if error is None:
                continue
            # on a box without IPv6, nginx -t complains
            if address is None and error.errno in (
                errno.EAFNOSUPPORT,
                errno.EADDRNOTAVAIL,
            ):
                continue
            if (
                error.errno == errno.EADDRINUSE
                and is_active(NGINX_UNIT)
                and listens_on(config, each)
            ):
                continue
            where = f"--listen {listen}" if each == port else f"port {each}"
            raise Misconfigured(
                f"{where}: {error.strerror}",
                "run ss -ltnp to see which program listens where",
            )


def _bind(family: int, address: str, port: int) -> OSError | None:
    """Return what keeps a socket from being bound, if anything does."""
    with contextlib.ExitStack() as closing:
        try:
            probe = closing.enter_context(socket.socket(family))
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((address, port))
        except OSError as error:
            return error
    return None
