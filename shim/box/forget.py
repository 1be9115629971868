"""Emptying nginx's cache of opened tokens."""

import contextlib
import os

from .nginx import nginx_config, reload_nginx
from .nginx_config import cache_directory
from .preflight import require_box


def forget() -> int | None:
    """Empty the cache; return how many links were in it, or None if there is no cache.

    nginx's workers are replaced, because they keep files open. Raises Misconfigured.
    """
    require_box()
    directory = cache_directory(nginx_config()[0])
    if directory is None:
        return None
    forgotten = 0
    for where, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(where, name))
                forgotten += 1
    reload_nginx()
    return forgotten
