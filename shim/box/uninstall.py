"""Removing what install set up. Records and keys stay."""

import contextlib
import os
import shutil
from typing import NamedTuple

from ..errors import Misconfigured
from . import default_site, files, journal, key_files, manifest, units
from .files import File
from .forget import remove_unused_cache
from .interrupted import rolled_back
from .layout import (
    ACME_DIR,
    DIRECTORY,
    INSTALL_CONF,
    KEY_FILES,
    MANIFEST,
    NGINX_D,
    NGINX_UNIT,
    SETTINGS,
    SITE,
    STATE_DIR,
    STOPPED,
    UNIT_FILES,
)
from .lock import locked
from .nginx import nginx_config, reload_nginx
from .preflight import check_units
from .results import Action, Step
from .systemd import is_active, require_systemd, systemctl
from .users import require_root


class Plan(NamedTuple):
    """What uninstall is going to change."""

    after: dict[str, File | None]  # None: removed
    steps: list[Step]


def uninstall_box(*, purge: bool) -> list[Step]:
    """Stop and remove what install set up.

    An edited file is kept as a backup. Records, keys and edited settings stay; `purge`
    removes keys and settings. Raises Misconfigured; the box is then as it was.
    """
    require_root()
    require_systemd()
    check_units()
    with locked("uninstall"):
        steps = rolled_back()
        plan = _plan(purge)
        steps += plan.steps
        if plan.after:
            steps += _carry_out(plan)
        if purge:
            # not in the journal, which would keep a copy of them
            keys = [*key_files.existing().values()]
            parts = [files.temporary_name(x) for x in KEY_FILES.values()]
            steps += [_removed(x) for x in (*keys, *parts) if os.path.lexists(x)]
        if not steps:
            return []
        units.remove_socket()
        _remove_directories()
        return steps + [Step(Action.KEPT, x) for x in _kept()]


def _plan(purge: bool) -> Plan:
    plan = Plan({}, [])
    digests = manifest.recorded()
    for path in (SITE, *UNIT_FILES.values()):
        current = files.look(path)
        if current is None:
            continue
        plan.after[path] = None
        content = files.look(os.path.realpath(path))
        if content and content.digest() == digests.get(path):
            plan.steps.append(Step(Action.REMOVED, path))
        else:
            backup = files.free_name(path)
            plan.after[backup] = current
            plan.steps.append(Step(Action.BACKED_UP, path, backup))
    default = default_site.moved_back()
    plan.after.update(default)
    if default.get(default_site.ENABLED):
        plan.steps.append(Step(Action.RESTORED, default_site.ENABLED))
    settings = files.look(SETTINGS)
    if settings and (purge or settings.digest() == digests.get(SETTINGS)):
        plan.after[SETTINGS] = None
        plan.steps.append(Step(Action.REMOVED, SETTINGS))
    for path in (INSTALL_CONF, STOPPED, MANIFEST):
        if os.path.lexists(path):
            plan.after[path] = None
            plan.steps.append(Step(Action.REMOVED, path))
    return plan


def _carry_out(plan: Plan) -> list[Step]:
    steps = []
    installed = [x for x, path in UNIT_FILES.items() if path in plan.after]
    with journal.change("uninstall", plan.after, ()):
        for path, file in plan.after.items():
            if path not in UNIT_FILES.values():
                files.put(path, file)
        # before the units, so that nginx never asks an endpoint that is gone
        if is_active(NGINX_UNIT):
            # or nginx would go on with a site that is gone
            nginx_config()
            reload_nginx()
            steps.append(Step(Action.RELOADED, NGINX_UNIT))
        if installed:
            systemctl("disable", "--now", *installed)
            steps += [Step(Action.STOPPED, x) for x in installed]
        for path in UNIT_FILES.values():
            files.put(path, None)
        systemctl("daemon-reload")
    return steps


def _removed(path: str) -> Step:
    os.unlink(path)
    return Step(Action.REMOVED, path)


def _remove_directories() -> None:
    """Remove our directories, except those with files of the operator."""
    with contextlib.suppress(Misconfigured):
        # without nginx it stays; it is in memory
        remove_unused_cache()
    shutil.rmtree(ACME_DIR, ignore_errors=True)
    for path in (STATE_DIR, NGINX_D, DIRECTORY):
        with contextlib.suppress(OSError):
            os.rmdir(path)


def _kept() -> list[str]:
    names = sorted(os.listdir(DIRECTORY)) if os.path.isdir(DIRECTORY) else []
    return [os.path.join(DIRECTORY, x) for x in names]
