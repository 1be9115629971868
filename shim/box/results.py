"""What install, uninstall and check report. The command line puts it into words."""

from enum import Enum
from typing import NamedTuple

from ..errors import Misconfigured


class Action(Enum):
    """What a step does. The values are stable: `--json` prints them."""

    CREATED = "created"
    WRITTEN = "written"
    BACKED_UP = "backed-up"
    KEPT = "kept"
    # kept, although there is a newer version
    OUTDATED = "outdated"
    MOVED = "moved"
    RESTORED = "restored"
    REMOVED = "removed"
    ENABLED = "enabled"
    STARTED = "started"
    RELOADED = "reloaded"
    RESTARTED = "restarted"
    STOPPED = "stopped"
    # an option
    CHANGED = "changed"
    ROLLED_BACK = "rolled-back"


class Step(NamedTuple):
    """One thing that was done, or that a dry run would do.

    `path` is the file, or the unit. `detail` depends on `action`: where a backup or a
    moved file is, or the difference between the old and the new content.
    """

    action: Action
    path: str
    detail: str = ""


class Finding(NamedTuple):
    """One line of check's report. `remedy` says what to do if `ok` is false.

    A finding that is ok but has a remedy is a warning.
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def good(name: str, detail: str) -> Finding:
    """Return the finding of a check that passed."""
    return Finding(name, True, detail)


def warning(name: str, problem: str, remedy: str) -> Finding:
    """Return the finding of a check that passed, about something that may go wrong."""
    return Finding(name, True, problem, remedy)


def bad(name: str, problem: str, remedy: str = "") -> Finding:
    """Return the finding of a check that failed, with what to do about it."""
    return Finding(name, False, problem, remedy)


def bad_because(name: str, error: Misconfigured) -> Finding:
    """Return the finding that `error` describes."""
    return bad(name, error.problem, error.remedy)
