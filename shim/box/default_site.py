"""Debian's default site, which install moves out of the way.

It answers for every host name, and its log contains whole links.
"""

import hashlib
import os

from . import files
from .layout import DIRECTORY
from .programs import run

ENABLED = "/etc/nginx/sites-enabled/default"
KEPT = f"{DIRECTORY}/default-site"
_AVAILABLE = "/etc/nginx/sites-available/default"


def is_untouched() -> bool:
    """Return whether the default site is enabled and as Debian's package ships it."""
    if not os.path.islink(ENABLED) or os.path.realpath(ENABLED) != _AVAILABLE:
        return False
    content = (files.read(_AVAILABLE) or "").encode("utf-8", "surrogateescape")
    md5 = hashlib.md5(content, usedforsecurity=False)
    conffiles = run("dpkg-query", "-W", "-f=${Conffiles}\n", "nginx-common").stdout
    return f" {_AVAILABLE} {md5.hexdigest()}" in conffiles


def move_away() -> None:
    """Disable the default site."""
    os.rename(ENABLED, KEPT)


def put_back() -> bool:
    """Enable the default site if install disabled it; return whether this was done."""
    if not os.path.lexists(KEPT):
        return False
    if os.path.lexists(ENABLED):
        os.unlink(KEPT)
        return False
    os.rename(KEPT, ENABLED)
    return True
