"""Checks of the endpoint's service: keys, units, socket."""

import os
import socket

from ..errors import Misconfigured
from ..tokens.keys import CREDENTIALS, NO_CREDENTIAL, Keyrings, load_keyrings
from . import layout
from .nginx_config import Site
from .processes import acting_as
from .results import Finding, bad, good
from .settings import key_files, read_settings
from .systemd import is_enabled, unit_property

_TIMEOUT_SECONDS = 10
_RESTART = f"run systemctl restart {layout.SERVICE_UNIT}"


def load_keys() -> tuple[Keyrings | None, Finding]:
    """Return the keys of this box, if they are valid."""
    try:
        if not key_files():
            raise Misconfigured(
                f"no key: neither {' nor '.join(layout.KEY_FILES.values())} exists",
                "create one with record-shim keygen --output",
            )
        keyrings = load_keyrings(key_files())
    except Misconfigured as error:
        return None, bad("keys", error)
    return keyrings, good("keys", str(keyrings))


def check_key_file(path: str) -> Finding:
    """Check that only root can read the key file."""
    status = os.stat(path)
    if status.st_uid != 0 or (status.st_gid != 0 and status.st_mode & 0o070):
        return Finding(
            "key-file",
            False,
            f"key file {path}: readable by users other than root",
            f"run chown root:root {path}; chmod 0600 {path}",
        )
    return good("key-file", f"key file {path}: private")


def check_unit(unit: str) -> Finding:
    """Check that the unit is active now and after a reboot."""
    state = unit_property(unit, "ActiveState")
    if state != "active":
        return Finding(
            "unit",
            False,
            f"{unit}: {state}",
            f"run systemctl start {unit}; journalctl -u {unit} -n 20 says why it stopped",
        )
    if not is_enabled(unit):
        return Finding(
            "unit",
            False,
            f"{unit}: active, but not started at boot",
            f"run systemctl enable {unit}",
        )
    return good("unit", f"{unit}: active, enabled")


def check_current() -> Finding:
    """Check that the service runs with today's keys and settings.

    It reads them only when it starts.
    """
    process = f"/proc/{unit_property(layout.SERVICE_UNIT, 'MainPID')}"
    try:
        credentials = f"{process}/root/run/credentials/{layout.SERVICE_UNIT}"
        used_keys = [_content(f"{credentials}/{x}") for x in CREDENTIALS.values()]
        keys = [_content(path) for path in layout.KEY_FILES.values()]
        with open(f"{process}/environ", encoding="utf-8") as file:
            variables = [x.partition("=") for x in file.read().split("\0")]
        used = {name: value for name, _, value in variables if name.startswith("SHIM_")}
        if used_keys != keys:
            raise Misconfigured(
                f"{layout.SERVICE_UNIT}: started with other key files than there are now",
                _RESTART,
            )
        if used != read_settings():
            raise Misconfigured(
                f"{layout.SERVICE_UNIT}: started with other settings than those in"
                f" {layout.SETTINGS}",
                _RESTART,
            )
    except OSError as error:
        problem = f"{layout.SERVICE_UNIT}: {error.filename}: {error.strerror}"
        return bad("service", Misconfigured(problem, _RESTART))
    except Misconfigured as error:
        return bad("service", error)
    return good(
        "service", f"{layout.SERVICE_UNIT}: running with the current keys and settings"
    )


def check_socket(site: Site, user: str) -> Finding:
    """Check that nginx's user can connect to the endpoint."""
    try:
        with acting_as(user), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_TIMEOUT_SECONDS)
            connection.connect(site.socket)
    except OSError as error:
        return Finding(
            "socket",
            False,
            f"socket {site.socket}: {user} cannot connect: {error.strerror}",
            f"run ls -l on it: its group must be one of {user}'s groups",
        )
    return good("socket", f"socket {site.socket}: {user} can connect")


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return NO_CREDENTIAL
