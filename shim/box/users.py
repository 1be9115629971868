"""Running as root, and temporarily as another user."""

import contextlib
import os
import pwd
from collections.abc import Iterator

from ..errors import Misconfigured


def require_root() -> None:
    """Raise Misconfigured unless this is root."""
    if os.geteuid() != 0:
        raise Misconfigured("only root may do this", "run it as root or with sudo")


@contextlib.contextmanager
def acting_as(user: str) -> Iterator[None]:
    """Give root the user id and all groups of `user` within the block."""
    entry = pwd.getpwnam(user)
    groups = os.getgroups()
    os.setgroups(os.getgrouplist(user, entry.pw_gid))
    os.setegid(entry.pw_gid)
    os.seteuid(entry.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
