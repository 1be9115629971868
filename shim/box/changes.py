"""Changes to files that are undone when a later step fails."""

import contextlib
import os
import stat

from ..errors import Misconfigured
from . import files


def back_up(path: str, undo: contextlib.ExitStack) -> str:
    """Copy the file under another name, with its mode and owner; return the name."""
    backup, status = files.free_name(path), os.stat(path)
    _replace(backup, files.read(path) or "", status)
    undo.callback(os.unlink, backup)
    return backup


def write(path: str, text: str, undo: contextlib.ExitStack, mode: int = 0o644) -> None:
    """Replace the file atomically; `undo` restores or removes it.

    An existing file keeps its mode and owner. Raises Misconfigured.
    """
    old = files.read(path)
    if old is None:
        _replace(path, text, mode)
        undo.callback(os.unlink, path)
    else:
        status = os.stat(path)
        _replace(path, text, status)
        undo.callback(_replace, path, old, status)


def _replace(path: str, text: str, like: os.stat_result | int) -> None:
    """Replace the file, with mode and owner `like` another one, or with a mode."""
    data = text.encode("utf-8", "surrogateescape")
    try:
        # left behind by a process that was killed
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{path}.new")
        if isinstance(like, int):
            files.replace(path, data, like)
        else:
            mode = stat.S_IMODE(like.st_mode)
            files.replace(path, data, mode, like.st_uid, like.st_gid)
    except OSError as error:
        raise Misconfigured(f"{error.filename or path}: {error.strerror}") from None
