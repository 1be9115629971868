"""Checks of the endpoint's service: keys, settings, units, socket."""

import errno
import os
import socket
import sysconfig
from pathlib import Path

from ..errors import Misconfigured
from ..tokens.keys import CREDENTIALS, Keyrings, load_keyrings
from ..tokens.settings import Settings, load_settings
from . import key_files, layout, running_keys
from .nginx_config import Site
from .results import Finding, bad, bad_because, good
from .settings_file import read_settings, read_variables
from .systemd import is_enabled, unit_property
from .users import acting_as

_TIMEOUT_SECONDS = 10
_RESTART = "run record-shim restart"


def load_keys() -> tuple[Keyrings | None, Finding]:
    """Return the keys of this box, if they are valid."""
    if not key_files.existing():
        paths = layout.KEY_FILES.values()
        return None, bad(
            "keys",
            f"no key: neither {' nor '.join(paths)} exists",
            f"run record-shim keygen --output {next(iter(paths))}, or install the PBX's key",
        )
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
    if unit_property(unit, "UnitFileState") == "masked":
        return bad("unit", f"{unit}: masked", f"run systemctl unmask {unit}")
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
    if unit_property(unit, "NeedDaemonReload") == "yes":
        problem = f"{unit}: its file has changed since systemd read it"
        return bad("unit", problem, "run systemctl daemon-reload, then restart it")
    return good("unit", f"{unit}: active, enabled")


def check_current() -> Finding:
    """Check that the service runs with the current packages, keys and settings.

    It reads them only when it starts.
    """
    service = layout.SERVICE_UNIT
    try:
        other_keys = any(running_keys.differ(x) for x in CREDENTIALS)
        other_settings = _other_settings()
    except OSError as error:
        problem = f"{service}: {error.filename}: {error.strerror}"
        return bad("service", problem, _RESTART)
    except Misconfigured as error:
        return bad_because("service", error)
    if other_keys:
        problem = f"{service}: the key files have changed since it started"
        return bad("service", problem, _RESTART)
    if other_settings:
        problem = f"{service}: {layout.SETTINGS} has changed since it started"
        return bad("service", problem, _RESTART)
    if _installed_at() > _started_at():
        problem = f"{service}: its Python packages have changed since it started"
        return bad("service", problem, "run record-shim install")
    return good("service", f"{service}: running with the current keys and settings")


def _other_settings() -> bool:
    """Return whether the service has other variables than the settings file.

    Raises OSError or Misconfigured.
    """
    with open(
        f"/proc/{unit_property(layout.SERVICE_UNIT, 'MainPID')}/environ",
        encoding="utf-8",
        errors="surrogateescape",
    ) as file:
        variables = [x.partition("=") for x in file.read().split("\0")]
    wanted = read_variables()
    ours = {
        name: value
        for name, _, value in variables
        if name in wanted or name.startswith(("SHIM_", "GUNICORN_"))
    }
    return ours != wanted


def _installed_at() -> int:
    """Return when pip last installed a package beside this one, in Unix seconds."""
    packages = Path(sysconfig.get_path("purelib")).glob("*.dist-info")
    return max((int(x.stat().st_mtime) for x in packages), default=0)


def _started_at() -> int:
    """Return when the service started, in Unix seconds."""
    name, option = "ExecMainStartTimestamp", "--timestamp=unix"
    return int(unit_property(layout.SERVICE_UNIT, name, option).lstrip("@"))


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
