"""Emptying nginx's cache of opened tokens.

The directory belongs to nginx's user, who could replace any part of it by a link to another
directory at any moment. So nothing in it is deleted as root.
"""

import os

from ..errors import Misconfigured
from .interrupted import changing
from .layout import CACHE_DIR
from .nginx import nginx_config, reload_nginx
from .nginx_config import cache_directory, worker_user
from .preflight import require_box
from .programs import run

# a full cache takes less than a second; nginx's user could make it endless
_SECONDS = 60


def forget_links() -> int | None:
    """Empty the cache; return how many tokens were in it, or None if it is not in use.

    If nginx runs, its workers are replaced, because they keep files open. Raises
    Misconfigured.
    """
    require_box()
    with changing("forget"):
        config, _ = nginx_config()
        directory = cache_directory(config)
        if directory is None:
            remove_unused_cache()
            return None
        try:
            # nginx creates it when it starts
            if not os.path.lexists(directory):
                return 0
            return _delete(worker_user(config), directory, "-type", "f")
        finally:
            # nginx also has tokens open
            reload_nginx()


def remove_unused_cache() -> None:
    """Delete the cache unless nginx uses it: a later cached form would read it again.

    Raises Misconfigured when nginx's configuration is invalid, or when something in the
    cache cannot be deleted.
    """
    config, _ = nginx_config()
    if cache_directory(config) is not None or not os.path.lexists(CACHE_DIR):
        return
    _delete(worker_user(config), CACHE_DIR, "-mindepth", "1")
    try:
        os.rmdir(CACHE_DIR)
    except OSError as error:
        raise Misconfigured(
            f"{CACHE_DIR}: {error.strerror}", "see what it contains, and delete it"
        ) from None


def _delete(user: str, directory: str, *which: str) -> int:
    """Delete what find(1) finds below `directory`, as `user`; return the number of files.

    find does not follow symbolic links, and handles any depth. Raises Misconfigured when
    something cannot be deleted.
    """
    # `user` may have closed its own directories
    open_all = (
        "-type",
        "d",
        "!",
        "-perm",
        "-u=rwx",
        "-exec",
        "chmod",
        "u+rwx",
        "{}",
        ";",
    )
    run("find", directory, *open_all, user=user, seconds=_SECONDS)
    find = ("find", directory, "-ignore_readdir_race", *which)
    options = ("-delete", "-type", "f", "-printf", ".")
    result = run(*find, *options, user=user, seconds=_SECONDS)
    if result.returncode != 0:
        fault = result.stderr.strip().rpartition("\n")[2].removeprefix("find: ")
        raise Misconfigured(
            f"{directory}: {user} cannot delete all of it: {fault}",
            "see what it contains, and delete that",
        )
    return len(result.stdout)
