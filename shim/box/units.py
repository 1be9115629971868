"""Our two units: starting them, and restarting them when they have changed."""

import contextlib
import os
from collections.abc import Iterable, Mapping

from . import files
from .files import File
from .layout import SERVICE_UNIT, SOCKET, SOCKET_UNIT, UNIT_FILES, UNITS
from .results import Action, Step
from .service_checks import check_current
from .systemd import is_active, is_enabled, systemctl


def changed_units(after: Mapping[str, File | None]) -> list[str]:
    """Return the units that need a restart when their files are as in `after`.

    Comments make no difference.
    """
    return [
        unit
        for unit, path in _real_unit_files()
        if path in after and _directives(after[path]) != _directives(files.look(path))
    ]


def is_outdated() -> bool:
    """Return whether the service runs, but with other packages, keys or settings than now."""
    return is_active(SERVICE_UNIT) and not check_current().ok


def enable() -> list[Step]:
    """Have systemd start the units at boot."""
    disabled = [x for x in UNITS if not is_enabled(x)]
    if disabled:
        systemctl("enable", *UNITS)
    return [Step(Action.ENABLED, x) for x in disabled]


def start(units: Iterable[str], changed: Iterable[str]) -> list[Step]:
    """Start those of `units` that do not run; restart those that run and have changed.

    While only the service restarts, requests wait in the socket.
    """
    steps = []
    changed = [x for x in changed if is_active(x)]
    if SOCKET_UNIT in changed:
        # systemd does not recreate a socket while its service runs
        systemctl("stop", *reversed(UNITS))
    elif changed:
        systemctl("restart", *changed)
        steps += [Step(Action.RESTARTED, x) for x in changed]
    stopped = [x for x in units if not is_active(x)]
    if stopped:
        systemctl("start", *stopped)
        steps += [Step(Action.STARTED, x) for x in stopped]
    return steps


def remove_socket() -> None:
    """Remove the socket, which systemd leaves behind."""
    with contextlib.suppress(OSError):
        os.unlink(SOCKET)
    with contextlib.suppress(OSError):
        os.rmdir(os.path.dirname(SOCKET))


def _real_unit_files() -> list[tuple[str, str]]:
    """Return the units and their files, also if these are symbolic links."""
    return [(x, os.path.realpath(path)) for x, path in UNIT_FILES.items()]


def _directives(file: File | None) -> list[str]:
    lines = file.text.splitlines() if file else []
    return [x for x in lines if x.strip() and not x.startswith(("#", ";"))]
