"""The site's logs, which say who fetched what: only nginx and administrators read them."""

import contextlib
import glob
import grp
import os
import pwd
import stat

from .layout import AUDIT_LOG, LOG_DIR

FILES = (AUDIT_LOG, f"{LOG_DIR}/record-shim.error.log")
# as in Debian's /etc/logrotate.d/nginx
_OWNER, _GROUP, _MODE = "www-data", "adm", 0o640
_OTHERS = stat.S_IRWXO


def make_private() -> None:
    """Create the logs that are missing, and close existing ones to other users.

    nginx would create them readable for everyone. A log that is a symbolic link is the
    administrator's own. Raises OSError.
    """
    for path in FILES:
        with contextlib.suppress(FileExistsError):
            descriptor = _open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            with contextlib.suppress(KeyError), os.fdopen(descriptor, "w"):
                owner, group = pwd.getpwnam(_OWNER), grp.getgrnam(_GROUP)
                os.fchown(descriptor, owner.pw_uid, group.gr_gid)
                os.fchmod(descriptor, _MODE)
    for path in glob.glob(f"{LOG_DIR}/record-shim*.log*"):
        if os.path.islink(path):
            continue
        with os.fdopen(_open(path, os.O_RDONLY)) as file:
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode) and status.st_mode & _OTHERS:
                mode = stat.S_IMODE(status.st_mode)
                os.fchmod(file.fileno(), mode & ~_OTHERS)


def _open(path: str, flags: int) -> int:
    # a symbolic link could lead to any file
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
