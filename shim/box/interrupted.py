"""Rolling back an install or uninstall that was killed."""

from collections.abc import Iterator

from ..errors import Misconfigured
from . import journal
from .layout import JOURNAL
from .lock import locked
from .results import Action, Finding, Step, bad_because, warning


def rolled_back(*, dry_run: bool = False) -> list[Step]:
    """Roll back an interrupted change, if there is one; return what was done.

    The lock must be held. With `dry_run`, it raises Misconfigured instead.
    """
    command = journal.open_command()
    if command is None:
        return []
    if dry_run:
        raise Misconfigured(
            f"an earlier {command} was interrupted",
            "run record-shim check, which rolls it back",
        )
    # without a file: it was interrupted before it changed one
    restored = journal.roll_back() or [JOURNAL]
    return [Step(Action.ROLLED_BACK, path, command) for path in restored]


def findings() -> Iterator[Finding]:
    """Roll back an interrupted change, if there is one, and yield what check says of it."""
    try:
        if journal.open_command() is None:
            return
        with locked("check"):
            steps = rolled_back()
    except Misconfigured as error:
        yield bad_because("install", error)
        return
    for step in steps[:1]:
        paths = ", ".join(x.path for x in steps)
        yield warning(
            "install",
            f"an earlier {step.detail} was interrupted; rolled back: {paths}",
            f"run record-shim {step.detail} again",
        )
