"""Checks of the endpoint's service: keys, settings, units, socket."""

import errno
import os
import socket

from ..errors import Misconfigured
from ..tokens.keys import CREDENTIALS, NO_CREDENTIAL, Keyrings, load_keyrings
from ..tokens.settings import Settings, load_settings
from . import key_files, layout
from .nginx_config import Site
from .results import Finding, bad, bad_because, good
from .settings_file import read_settings
from .systemd import is_enabled, unit_property
from .users import acting_as

_TIMEOUT_SECONDS = 10
_RESTART = "run record-shim restart"


def load_keys() -> tuple[Keyrings | None, Finding]:
    """Return the keys of this box, if they are valid."""
    if not key_files.existing():
        missing = f"no key: neither {' nor '.join(layout.KEY_FILES.values())} exists"
        remedy = "create one with record-shim keygen --output"
        return None, bad("keys", missing, remedy)
    try:
        keyrings = load_keyrings(key_files.existing())
    except Misconfigured as error:
        return None, bad_because("keys", error)
    return keyrings, good("keys", str(keyrings))


def check_key_file(path: str) -> Finding:
    """Check that only root can read the key file."""
    try:
        status = os.stat(path)
    except OSError as error:
        return bad("key-file", f"key file {path}: {error.strerror}")
    if status.st_uid != 0 or (status.st_gid != 0 and status.st_mode & 0o070):
        return bad(
            "key-file",
            f"key file {path}: readable by users other than root",
            f"run chown root:root {path}; chmod 0600 {path}",
        )
    return good("key-file", f"key file {path}: private")


def load_box_settings() -> tuple[Settings | None, Finding]:
    """Return the settings of this box, if they are valid."""
    try:
        settings = load_settings(read_settings())
    except Misconfigured as error:
        where = "" if layout.SETTINGS in error.problem else f"{layout.SETTINGS}: "
        return None, bad("settings", f"{where}{error.problem}", error.remedy)
    return settings, good("settings", f"{layout.SETTINGS}: valid")


def check_unit(unit: str) -> Finding:
    """Check that the unit is active now and after a reboot."""
    state = unit_property(unit, "ActiveState")
    journal = f"journalctl -u {unit} -n 20"
    if state in ("activating", "failed"):
        return bad(
            "unit", f"{unit}: {state}", f"run {journal} to see why it does not start"
        )
    if state != "active":
        remedy = f"run systemctl start {unit}; {journal} says why it stopped"
        return bad("unit", f"{unit}: {state}", remedy)
    if not is_enabled(unit):
        problem = f"{unit}: active, but not started at boot"
        return bad("unit", problem, f"run systemctl enable {unit}")
    return good("unit", f"{unit}: active, enabled")


def check_current() -> Finding:
    """Check that the service runs with the current keys and settings.

    It reads them only when it starts.
    """
    service = layout.SERVICE_UNIT
    process = f"/proc/{unit_property(service, 'MainPID')}"
    credentials = f"{process}/root/run/credentials/{service}"
    try:
        used_keys = [_content(f"{credentials}/{x}") for x in CREDENTIALS.values()]
        keys = [_content(path) for path in layout.KEY_FILES.values()]
        with open(f"{process}/environ", encoding="utf-8") as file:
            variables = [x.partition("=") for x in file.read().split("\0")]
        used = {name: value for name, _, value in variables if name.startswith("SHIM_")}
        settings = read_settings()
    except OSError as error:
        problem = f"{service}: {error.filename}: {error.strerror}"
        return bad("service", problem, _RESTART)
    except Misconfigured as error:
        return bad_because("service", error)
    if used_keys != keys:
        problem = f"{service}: the key files have changed since it started"
        return bad("service", problem, _RESTART)
    if used != settings:
        problem = f"{service}: {layout.SETTINGS} has changed since it started"
        return bad("service", problem, _RESTART)
    return good("service", f"{service}: running with the current keys and settings")


def check_socket(site: Site, user: str) -> Finding:
    """Check that nginx's user can connect to the endpoint."""
    try:
        with acting_as(user), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_TIMEOUT_SECONDS)
            connection.connect(site.socket)
    except OSError as error:
        remedy = (
            f"run systemctl restart {' '.join(layout.UNITS)}"
            if error.errno == errno.ENOENT
            else f"run ls -l on it: its group must be one of {user}'s groups"
        )
        problem = f"socket {site.socket}: {user} cannot connect: {error.strerror}"
        return bad("socket", problem, remedy)
    return good("socket", f"socket {site.socket}: {user} can connect")


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return NO_CREDENTIAL
