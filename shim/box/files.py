"""Files of the operator and of ours: looked at, compared, and replaced atomically."""

import contextlib
import difflib
import errno
import hashlib
import os
import stat
from typing import NamedTuple

from ..errors import Misconfigured

_REMEDIES = {
    errno.ENOSPC: "run df on its directory, and make room",
    errno.EROFS: "run findmnt to see why it is read-only, and remount it",
}


class File(NamedTuple):
    """A regular file with `text`, or a symbolic link to `link`.

    Bytes that are not UTF-8 are surrogates in `text`.
    """

    text: str = ""
    link: str | None = None
    mode: int = 0o644
    uid: int = 0
    gid: int = 0

    def digest(self) -> str:
        """Return the SHA-256 of the content, or of the link's target."""
        content = self.text if self.link is None else self.link
        return hashlib.sha256(_bytes(content)).hexdigest()


def look(path: str) -> File | None:
    """Return what is at `path`, or None when there is nothing.

    Raises Misconfigured, also for anything but a regular file or a symbolic link.
    """
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            return File(link=os.readlink(path))
        if not stat.S_ISREG(status.st_mode):
            raise Misconfigured(f"{path}: not a regular file", "move it out of the way")
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            text = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Misconfigured(f"{path}: {error.strerror}") from None
    mode = stat.S_IMODE(status.st_mode)
    return File(text, None, mode, status.st_uid, status.st_gid)


def put(path: str, file: File | None) -> None:
    """Make `path` be `file` in one step, or remove what is there; raises Misconfigured."""
    temporary = temporary_name(path)
    try:
        remove_if_exists(temporary)
        if file is None:
            remove_if_exists(path)
        elif file.link is not None:
            os.symlink(file.link, temporary)
            os.replace(temporary, path)
        else:
            replace(path, _bytes(file.text), file.mode, file.uid, file.gid)
        sync_directory(path)
    except OSError as error:
        raise failed(error, path) from None


def failed(error: OSError, path: str) -> Misconfigured:
    """Return what to raise for `error`, which is about `path` if it names no file."""
    problem = f"{error.filename or path}: {error.strerror}"
    return Misconfigured(problem, _REMEDIES.get(error.errno or 0, ""))


def read(path: str) -> str | None:
    """Return the content of the file, or None when it does not exist.

    Follows a symbolic link. Raises Misconfigured.
    """
    file = look(os.path.realpath(path))
    return None if file is None else file.text


def replace(path: str, data: bytes, mode: int, uid: int = -1, gid: int = -1) -> None:
    """Replace the file at `path` by `data` atomically, with `mode` and, if given, owner.

    Raises OSError, and leaves the file unchanged, when it fails or when its
    temporary_name() exists.
    """
    temporary = temporary_name(path)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            os.fchown(file.fileno(), uid, gid)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise


def temporary_name(path: str) -> str:
    """Return where the new content of `path` is until it replaces the old one."""
    return f"{path}.record-shim-new"


def remove_if_exists(path: str) -> None:
    """Remove the file unless there is none; raises OSError."""
    # unlink of a missing file fails with EROFS on a read-only file system
    if os.path.lexists(path):
        os.unlink(path)


def sync_directory(path: str) -> None:
    """Wait until the name of the file `path` is on the disk as well; raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def free_name(path: str) -> str:
    """Return the first of PATH.bak, PATH.bak1, … that does not exist."""
    names = (f"{path}.bak{number or ''}" for number in range(1_000_000))
    return next(x for x in names if not os.path.lexists(x))


def difference(path: str, old: str, new: str) -> str:
    """Return a unified diff between the file's content `old` and ours, `new`."""
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), path, f"{path} (record-shim)", lineterm=""
    )
    # an edited file may contain what is not UTF-8 and cannot be printed
    return "\n".join(x.encode("utf-8", "replace").decode() for x in lines)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
