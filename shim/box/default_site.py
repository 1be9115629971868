"""Debian's default site, which install moves out of the way.

It answers for every host name, and its log contains whole links.
"""

import hashlib
import os

from . import files
from .files import File
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


def moved_back() -> dict[str, File | None]:
    """Return the changes that enable the default site again if install disabled it.

    If there is another one by now, that one stays.
    """
    kept = files.look(KEPT)
    if kept is None:
        return {}
    if os.path.lexists(ENABLED):
        return {KEPT: None}
    return {ENABLED: kept, KEPT: None}
