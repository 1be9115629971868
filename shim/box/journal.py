"""Changes of a box that are undone if they are not completed, whatever interrupts them.

How the box was before is written to JOURNAL and flushed to the disk first, as certbot's
reverter does it. Deleting the journal completes the change. While it exists, the box is
being changed, or the process that changed it was killed.
"""

import contextlib
import json
import os
import signal
from collections.abc import Iterable, Iterator, Mapping
from types import FrameType
from typing import TypedDict

from ..errors import Misconfigured
from . import files, units
from .files import File
from .layout import (
    JOURNAL,
    NGINX_UNIT,
    SOCKET_UNIT,
    STATE_DIR,
    UNIT_FILES,
    UNITS,
    WANTS,
)
from .nginx import nginx_config, reload_nginx
from .systemd import is_active, is_stopped, systemctl

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Journal(TypedDict):
    command: str
    before: dict[str, File | None]
    digests: dict[str, str]  # of the new files
    created: list[str]  # directories and logs
    active: list[str]  # units that were
    changed: list[str]  # units


@contextlib.contextmanager
def change(
    command: str, after: Mapping[str, File | None], created: Iterable[str]
) -> Iterator[None]:
    """Let the block bring the files to the state `after` (None: removed) and start units.

    `command` is "install" or "uninstall".
    `created` are directories and logs that the block may create. They are deleted again
    if they are empty. If the block fails or a signal arrives, everything is as before.
    Raises Misconfigured with what was rolled back.
    """
    _write(command, after, created)
    try:
        with _signals_raise():
            yield
        for path in (*after, *WANTS):
            files.sync_directory(path)
    except BaseException as error:
        with _signals_ignored():
            undone = _undone()
        if isinstance(error, Misconfigured):
            raise Misconfigured(error.problem + undone, error.remedy) from None
        if isinstance(error, OSError):
            where = f"{error.filename}: " if error.filename else ""
            raise Misconfigured(f"{where}{error.strerror}{undone}") from None
        raise
    _delete()


def is_open() -> bool:
    """Return whether a change is being made or was interrupted."""
    return os.path.lexists(JOURNAL)


def discard_unfinished() -> None:
    """Remove what is left of a journal that was not even written."""
    _remove(files.temporary_name(JOURNAL))
    _remove_if_empty(STATE_DIR)


def roll_back(*, at_once: bool = False) -> tuple[str, list[str]]:
    """Undo the change in the journal; return the command and the files that it had changed.

    A file that was edited since is kept as FILE.bak. `at_once` means that nobody can
    have done anything since. Raises Misconfigured; it can be called again then.
    """
    journal = _read()
    restored = []
    for path, before in journal["before"].items():
        _remove(files.temporary_name(path))
        now = files.look(path)
        if now == before:
            continue
        known = (before.digest() if before else "", journal["digests"].get(path))
        if now is not None and now.link is None and now.digest() not in known:
            files.put(files.free_name(path), now)
        # systemctl disable removes a directory that it leaves empty
        os.makedirs(os.path.dirname(path), exist_ok=True)
        files.put(path, before)
        restored.append(path)
    for path in reversed(journal["created"]):
        _remove_if_empty(path)
    _restore_units(journal, at_once)
    _delete()
    return journal["command"], restored


def _restore_units(journal: _Journal, at_once: bool) -> None:
    systemctl("daemon-reload")
    # before the units, so that nginx never asks an endpoint that is gone
    if is_active(NGINX_UNIT):
        if at_once and NGINX_UNIT not in journal["active"]:
            systemctl("stop", NGINX_UNIT)
        elif _is_valid():
            reload_nginx()
    active = [x for x in UNITS if x in journal["active"]]
    surplus = [x for x in UNITS if x not in active and not is_stopped(x)]
    if surplus:
        systemctl("stop", *reversed(surplus))
    if journal["before"][UNIT_FILES[SOCKET_UNIT]] is None:
        units.remove_socket()
    units.start(active, journal["changed"])


def _is_valid() -> bool:
    """Return whether nginx can load its configuration; if not, it goes on as it is."""
    try:
        nginx_config()
    except Misconfigured:
        return False
    return True


def _undone() -> str:
    """Roll back; return what to add to the message about the failure."""
    try:
        _, restored = roll_back(at_once=True)
    except Misconfigured as error:
        return (
            f"; the rollback failed, too: {error.problem}; record-shim check tries it"
            " again"
        )
    return f"; rolled back: {', '.join(restored)}" if restored else ""


def _write(
    command: str, after: Mapping[str, File | None], created: Iterable[str]
) -> None:
    paths = dict.fromkeys((*after, *UNIT_FILES.values(), *WANTS))
    journal = _Journal(
        command=command,
        before={x: files.look(x) for x in paths},
        digests={x: file.digest() if file else "" for x, file in after.items()},
        created=[x for x in created if not os.path.lexists(x)],
        active=[x for x in (*UNITS, NGINX_UNIT) if is_active(x)],
        changed=units.changed_units(after),
    )
    with contextlib.suppress(FileExistsError):
        os.mkdir(STATE_DIR, 0o755)
    files.sync_directory(STATE_DIR)
    files.put(JOURNAL, File(json.dumps(journal), mode=0o600))


def _read() -> _Journal:
    try:
        journal: _Journal = json.loads(files.read(JOURNAL) or "")
        journal["before"] = {x: y and File(*y) for x, y in journal["before"].items()}
    except (ValueError, KeyError, TypeError):
        raise Misconfigured(
            f"{JOURNAL}: damaged, so the interrupted install cannot be rolled back",
            "delete it, then run record-shim install --force",
        ) from None
    return journal


def _delete() -> None:
    files.put(JOURNAL, None)
    _remove_if_empty(STATE_DIR)


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _remove_if_empty(path: str) -> None:
    with contextlib.suppress(OSError):
        if os.path.isdir(path):
            os.rmdir(path)
        elif os.path.getsize(path) == 0:
            os.unlink(path)


@contextlib.contextmanager
def _signals_raise() -> Iterator[None]:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Misconfigured(f"interrupted by {signal.Signals(number).name}")

    # nohup ignores SIGHUP
    heeded = [x for x in _SIGNALS if signal.getsignal(x) is not signal.SIG_IGN]
    before = {x: signal.signal(x, interrupt) for x in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _signals_ignored() -> Iterator[None]:
    before = {x: signal.signal(x, signal.SIG_IGN) for x in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
