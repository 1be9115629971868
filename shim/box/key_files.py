"""The key files of this box; creating and rotating key files anywhere."""

import errno
import os
import stat

from ..errors import Misconfigured
from ..tokens.keys import KEY_BYTES, load_keyring, new_key
from . import files, layout


def existing() -> dict[str, str]:
    """Return the key files of this box that exist, by the setting that would name them."""
    return {x: path for x, path in layout.KEY_FILES.items() if os.path.lexists(path)}


def create(path: str) -> None:
    """Create a key file with a new key, mode 0600.

    Raises Misconfigured, and writes nothing, when the file exists or cannot be written.
    """
    try:
        # O_EXCL: a key that links were made with is never overwritten
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Misconfigured(
            f"key file {path!r}: {error.strerror}; nothing was written",
            "use --rotate FILE to add a key to it"
            if error.errno == errno.EEXIST
            else "",
        ) from None
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(new_key())
    except OSError as error:
        os.unlink(path)
        raise Misconfigured(
            f"key file {path!r}: {error.strerror}; the incomplete file was removed"
        ) from None


def rotate(path: str) -> None:
    """Insert a new key before the others in the key file at `path`.

    The file is replaced atomically and keeps its owner and mode. Raises Misconfigured, and
    leaves the file unchanged, when it is not a valid key file or cannot be replaced.
    """
    keyring = load_keyring(path)
    # if `path` is a symbolic link, replace the file that it leads to
    path = os.path.realpath(path)
    try:
        with open(path, "rb") as file:
            old = file.read()
            status = os.fstat(file.fileno())
        if len(old) == KEY_BYTES:
            old = keyring[0].hex().encode() + b"\n"
        new = new_key().encode() + old
        files.replace(
            path, new, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
        )
    except OSError as error:
        temporary = files.temporary_name(path)
        raise Misconfigured(
            f"key file {path!r}: {error.strerror}: {error.filename or temporary}; the file"
            " is unchanged",
            f"delete {temporary}, which an interrupted run left behind"
            if error.errno == errno.EEXIST
            else "",
        ) from None
