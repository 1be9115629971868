"""Removing what install set up. Records and keys stay."""

import contextlib
import os

from . import default_site, files, key_files, manifest
from .forget import remove_unused_cache
from .layout import (
    DIRECTORY,
    MANIFEST,
    NGINX_UNIT,
    SETTINGS,
    SITE,
    UNIT_FILES,
)
from .nginx import nginx_config
from .preflight import require_box
from .results import Action, Step
from .systemd import systemctl


def uninstall_box(*, purge: bool) -> list[Step]:
    """Stop and remove what install set up.

    An edited file is kept as a backup. Records, keys and edited settings stay; `purge`
    removes keys and settings. Raises Misconfigured.
    """
    require_box()
    units = {x: path for x, path in UNIT_FILES.items() if os.path.lexists(path)}
    digests = manifest.recorded()
    leftovers = _leftovers(digests, purge)
    if not units and not leftovers and not os.path.lexists(SITE):
        return []
    # nginx must be able to reload, or it would go on with a site that is gone
    nginx_config()
    steps = []
    # the site before the endpoint, so that nginx never asks an endpoint that is gone
    if os.path.lexists(SITE):
        steps.append(_remove(SITE, digests))
    if default_site.put_back():
        steps.append(Step(Action.RESTORED, default_site.ENABLED))
    systemctl("try-reload-or-restart", NGINX_UNIT)
    if units:
        systemctl("disable", "--now", *units)
        steps += [_remove(path, digests) for path in units.values()]
        systemctl("daemon-reload")
    for path in leftovers:
        os.unlink(path)
        steps.append(Step(Action.REMOVED, path))
    remove_unused_cache()
    with contextlib.suppress(OSError):
        os.rmdir(DIRECTORY)
    kept = [*key_files.existing().values(), SETTINGS]
    return steps + [Step(Action.KEPT, x) for x in kept if os.path.lexists(x)]


def _remove(path: str, digests: dict[str, str]) -> Step:
    if digests.get(path) == manifest.sha256(files.read(path) or ""):
        os.unlink(path)
        return Step(Action.REMOVED, path)
    backup = files.free_name(path)
    os.rename(path, backup)
    return Step(Action.BACKED_UP, path, backup)


def _leftovers(digests: dict[str, str], purge: bool) -> list[str]:
    """Return which other files of ours are to be removed, the manifest last."""
    paths = []
    settings = files.read(SETTINGS)
    if settings is not None and (
        purge or digests.get(SETTINGS) == manifest.sha256(settings)
    ):
        paths.append(SETTINGS)
    if purge:
        paths += key_files.existing().values()
    if os.path.lexists(MANIFEST):
        paths.append(MANIFEST)
    return paths
