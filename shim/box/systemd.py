"""systemd on this box."""

import os

from ..errors import Misconfigured
from .programs import run

# for a question to systemd
_QUERY_SECONDS = 10


def require_systemd() -> None:
    """Raise Misconfigured unless systemd is this box's init (sd_booted(3))."""
    if not os.path.isdir("/run/systemd/system"):
        raise Misconfigured(
            "systemd is not running here", "use record-shim render instead"
        )


def systemctl(command: str, *units: str) -> None:
    """Run systemctl; raises Misconfigured when it fails."""
    result = run("systemctl", "--quiet", command, *units)
    if result.returncode != 0:
        # the last line may only say where to look
        fault = next(iter(result.stderr.strip().splitlines()), "no reason given")
        raise Misconfigured(
            f"systemctl {' '.join((command, *units))}: {fault}",
            f"run journalctl -u {units[-1]} -n 20 to see why"
            if units
            else "run systemctl status",
        )


def unit_property(unit: str, name: str, *options: str) -> str:
    """Return systemd's property `name` of `unit`, such as "active" for ActiveState.

    Raises Misconfigured when systemd does not answer.
    """
    show = ("systemctl", "show", f"--property={name}", "--value", *options, unit)
    return run(*show, seconds=_QUERY_SECONDS).stdout.strip()


def is_active(unit: str) -> bool:
    """Return whether `unit` is running or, if it is a socket, listening."""
    return unit_property(unit, "ActiveState") in ("active", "reloading")


def is_stopped(unit: str) -> bool:
    """Return whether `unit` neither runs nor is about to."""
    return unit_property(unit, "ActiveState") in ("inactive", "failed")


def is_enabled(unit: str) -> bool:
    """Return whether `unit` is started at boot."""
    return unit_property(unit, "UnitFileState") == "enabled"
