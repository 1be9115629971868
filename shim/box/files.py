"""Text files of the operator and of ours: read, compared, and replaced atomically."""

import difflib
import os

from ..errors import Misconfigured


def read(path: str) -> str | None:
    """Return the content of the file, or None when it does not exist.

    Bytes that are not UTF-8 become surrogates. Raises Misconfigured.
    """
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Misconfigured(f"{path}: {error.strerror}") from None


def replace(path: str, data: bytes, mode: int, uid: int = -1, gid: int = -1) -> None:
    """Replace the file at `path` by `data` atomically, with `mode` and, if given, owner.

    Raises OSError, and leaves the file unchanged, when it fails or when a file PATH.new
    already exists.
    """
    temporary = f"{path}.new"
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
