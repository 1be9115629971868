"""Rolling back an install or uninstall that was killed."""

import os
from collections.abc import Iterator

from ..errors import Misconfigured
from . import journal
from .layout import ACME_DIR, JOURNAL, STATE_DIR
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
    command, restored = journal.roll_back()
    # without a file: it was interrupted before it changed one
    return [Step(Action.ROLLED_BACK, path, command) for path in restored or [JOURNAL]]


def findings() -> Iterator[Finding]:
    """Roll back an interrupted change, if there is one, and yield what check says of it."""
    if not os.path.lexists(STATE_DIR) or os.listdir(STATE_DIR) == [
        os.path.basename(ACME_DIR)
    ]:
        return
    try:
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
