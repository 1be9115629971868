"""Files that are replaced whole or not at all."""

import os


def replace(path: str, data: bytes, mode: int, uid: int = -1, gid: int = -1) -> None:
    """Put `data` into the file at `path` in one step, with `mode` and, if given, owner.

    Raises OSError, and leaves the file as it was, when it cannot, or when another
    PATH.new is in the way.
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
