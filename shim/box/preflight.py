"""What is checked before anything changes."""

import contextlib
import errno
import os
import socket
import stat
import sys
from pathlib import Path

from ..errors import Misconfigured
from .layout import NGINX_UNIT
from .nginx import nginx_command
from .nginx_config import Directive, listens_on
from .systemd import is_active, require_systemd
from .templates import parse_listen
from .users import require_root

# what ProtectHome=, PrivateTmp= and InaccessiblePaths= of the service hide from it
_HIDDEN = (
    *("/home", "/root", "/run/user", "/tmp", "/var/tmp"),  # noqa: S108
    *("/srv", "/mnt", "/media", "/var/spool"),
)


def require_box() -> None:
    """Raise Misconfigured unless this is root, on a box with systemd and nginx."""
    require_root()
    require_systemd()
    nginx_command()


def check_records_directory(records: str) -> None:
    """Raise Misconfigured when the records directory does not exist."""
    if not os.path.isdir(records):
        raise Misconfigured(
            f"--records {records!r}: no such directory", "create or mount it first"
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


def check_port(config: Directive, listen: str) -> None:
    """Raise Misconfigured when nginx cannot listen there.

    nginx -t does not notice a port that another program uses (nginx 1.22,
    ngx_open_listening_sockets).
    """
    address, port = parse_listen(listen)
    for family, every in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104
        if address and (":" in address) != (":" in every):
            continue
        error = _bind(family, address or every, port)
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
            and listens_on(config, port)
        ):
            continue
        raise Misconfigured(
            f"--listen {listen}: {error.strerror}",
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
