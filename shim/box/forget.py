"""Emptying nginx's cache of opened tokens."""

import contextlib
import os
import shutil

from .layout import CACHE_DIR
from .nginx import nginx_config, reload_nginx
from .nginx_config import cache_directory
from .preflight import require_box


def forget_links() -> int | None:
    """Empty the cache; return how many tokens were in it, or None if it is not in use.

    nginx's workers are replaced, because they keep files open. Raises Misconfigured.
    """
    require_box()
    directory = cache_directory(nginx_config()[0])
    if directory is None:
        remove_unused_cache()
        return None
    forgotten = 0
    for where, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(where, name))
                forgotten += 1
    reload_nginx()
    return forgotten


def remove_unused_cache() -> None:
    """Delete the cache unless nginx uses it: a later cached form would read it again.

    Raises Misconfigured when nginx's configuration is invalid.
    """
    if cache_directory(nginx_config()[0]) is None:
        shutil.rmtree(CACHE_DIR, ignore_errors=True)
