"""Rolling back an install or uninstall that was killed."""

import contextlib
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
    if not journal.is_open():
        journal.discard_unfinished()
        return []
    if dry_run:
        raise Misconfigured(
            "an earlier install was interrupted",
            "run record-shim check, which rolls it back",
        )
    try:
        done = journal.roll_back()
    except Misconfigured as error:
        raise Misconfigured(
            f"an earlier install was interrupted and cannot be rolled back: {error.problem}",
            error.remedy or "correct that, then run record-shim check",
        ) from None
    # without a file: it was interrupted before it changed one
    restored = done.restored or [JOURNAL]
    steps = [Step(Action.ROLLED_BACK, path, done.command) for path in restored]
    return steps + [
        Step(Action.BACKED_UP, path, backup) for path, backup in done.backups
    ]


@contextlib.contextmanager
def changing(command: str) -> Iterator[list[Step]]:
    """Keep other commands from changing this box within the block.

    Yields what was rolled back before, if a change was interrupted. Raises Misconfigured.
    """
    with locked(command):
        yield rolled_back()


def findings() -> Iterator[Finding]:
    """Roll back an interrupted change, if there is one, and yield what check says of it."""
    if not journal.has_leftovers():
        return
    try:
        with changing("check") as steps:
            pass
    except Misconfigured as error:
        yield bad_because("install", error)
        return
    paths = ", ".join(x.path for x in steps if x.action is Action.ROLLED_BACK)
    kept = [
        f"; edited since: {x.path}, kept as {x.detail}"
        for x in steps
        if x.action is Action.BACKED_UP
    ]
    for step in steps[:1]:
        yield warning(
            "install",
            f"an earlier {step.detail} was interrupted; rolled back: {paths}"
            + "".join(kept),
            f"run record-shim {step.detail} again",
        )
