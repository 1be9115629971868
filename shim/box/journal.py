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
from typing import NamedTuple, TypedDict

from ..errors import Misconfigured
from . import default_site, files, units
from .files import File
from .layout import (
    JOURNAL,
    NGINX_UNIT,
    SITE,
    SOCKET_UNIT,
    STATE_DIR,
    UNIT_FILES,
    UNITS,
    WANTS,
)
from .nginx import nginx_config, reload_nginx
from .systemd import is_active, is_stopped, systemctl

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class RolledBack(NamedTuple):
    """What was rolled back: the command, and the files that it had changed.

    `backups` are files that were edited since, and where they are now.
    """

    command: str
    restored: list[str]
    backups: list[tuple[str, str]]


class _Journal(TypedDict):
    command: str
    before: dict[str, File | None]
    digests: dict[str, str]  # of the new files
    created: list[str]  # directories and logs
    active: list[str]  # units that were active
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
    with _signals_raise():
        try:
            _write(command, after, created)
            yield
            for path in (*after, *WANTS):
                files.sync_directory(path)
        except BaseException as error:
            with _signals_ignored():
                undone = _undone()
            if isinstance(error, OSError):
                error = files.failed(error, STATE_DIR)
            if isinstance(error, Misconfigured):
                raise Misconfigured(error.problem + undone, error.remedy) from None
            raise
        with _signals_ignored():
            _delete()


def is_open() -> bool:
    """Return whether a change is being made or was interrupted."""
    return os.path.lexists(JOURNAL)


def has_leftovers() -> bool:
    """Return whether there is a journal, or a part of one that was never completed."""
    is_empty = os.path.isdir(STATE_DIR) and not os.listdir(STATE_DIR)
    return is_open() or is_empty or os.path.lexists(files.temporary_name(JOURNAL))


def discard_unfinished() -> None:
    """Remove the temporary file of a journal that was never completed."""
    files.remove_if_exists(files.temporary_name(JOURNAL))
    _remove_if_empty(STATE_DIR)


def roll_back(*, at_once: bool = False) -> RolledBack:
    """Undo the change in the journal.

    A file that the operator has edited since is kept: as FILE.bak if it was there before
    or would keep the box from being as it was, otherwise where it is. `at_once`: this
    process made the change, so nothing else has changed since. Raises Misconfigured, and
    can then be called again.
    """
    journal = _read()
    # asked first, because systemd may not answer
    nginx_runs = is_active(NGINX_UNIT)
    done = RolledBack(journal["command"], [], [])
    try:
        for path, before in journal["before"].items():
            _restore_file(journal, path, before, done)
    except OSError as error:
        raise files.failed(error, STATE_DIR) from None
    for path in reversed(journal["created"]):
        _remove_if_empty(path)
    _restore_units(journal, nginx_runs, at_once)
    _delete()
    return done


def _restore_file(
    journal: _Journal, path: str, before: File | None, done: RolledBack
) -> None:
    files.remove_if_exists(files.temporary_name(path))
    now = files.look(path)
    if now == before:
        return
    known = (before.digest() if before else "", journal["digests"].get(path))
    if now is not None and now.link is None and now.digest() not in known:
        if before is None and path not in (SITE, *UNIT_FILES.values()):
            # such as the PBX's key
            done.backups.append((path, path))
            return
        # nginx reads all files beside the default site
        name = default_site.KEPT if path == default_site.ENABLED else path
        backup = files.free_name(name)
        files.put(backup, now)
        done.backups.append((path, backup))
    # systemctl disable removes a directory that it leaves empty
    os.makedirs(os.path.dirname(path), exist_ok=True)
    files.put(path, before)
    done.restored.append(path)


def _restore_units(journal: _Journal, nginx_runs: bool, at_once: bool) -> None:
    systemctl("daemon-reload")
    # before the units, so that nginx never asks an endpoint that is gone
    if nginx_runs and at_once and NGINX_UNIT not in journal["active"]:
        systemctl("stop", NGINX_UNIT)
    elif nginx_runs and _is_valid():
        reload_nginx()
    active = [x for x in UNITS if x in journal["active"]]
    started = [x for x in UNITS if x not in active and not is_stopped(x)]
    if started:
        systemctl("stop", *reversed(started))
    if journal["before"][UNIT_FILES[SOCKET_UNIT]] is None:
        units.remove_socket()
    # the files are as before; check reports a unit that does not start with them
    with contextlib.suppress(Misconfigured):
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
    if not is_open():
        discard_unfinished()
        return ""
    try:
        restored = roll_back(at_once=True).restored
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
    handled = [x for x in _SIGNALS if signal.getsignal(x) is not signal.SIG_IGN]
    before = {x: signal.signal(x, interrupt) for x in handled}
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
