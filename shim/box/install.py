"""Setting up a storage box, and bringing it up to date: everything or nothing."""

import contextlib
import os
from typing import NamedTuple

from ..errors import Misconfigured
from ..tokens.keys import ECB, load_keyrings, new_key
from ..tokens.settings import load_settings
from . import default_site, files, key_files, manifest, preflight
from .changes import back_up, write
from .forget import remove_unused_cache
from .layout import (
    DIRECTORY,
    KEY_FILES,
    MANIFEST,
    NGINX_UNIT,
    SETTINGS,
    SITE,
    UNIT_FILES,
    UNITS,
)
from .nginx import nginx_config, reload_nginx, wait_for_site
from .nginx_config import Site, find_site
from .results import Action, Step
from .settings_file import read_settings
from .systemd import is_active, is_enabled, systemctl
from .templates import nginx_site, unit

# only where there is no key at all, because a key is what makes its format open
_FRESH_KEY = KEY_FILES[ECB]
_SETTINGS_TEXT = """\
# Settings of record-shim, one NAME=VALUE per line. docs/settings.md lists the SHIM_ variables.
# After a change: systemctl restart record-shim
"""


class Options(NamedTuple):
    """What the operator chooses; `cache_time`, such as 10m, asks for the cached form."""

    records: str
    server_name: str
    listen: str
    cache_time: str | None


class Plan(NamedTuple):
    """What install is going to change."""

    contents: dict[str, str]  # of files that are missing or out of date
    edited: list[str]  # which of them the operator has edited
    kept: list[Step]  # edited files that stay
    digests: dict[str, str]  # of files that are up to date


def install_box(options: Options, *, dry_run: bool, force: bool) -> list[Step]:
    """Write the files that are missing or out of date, and start what uses them.

    A file that was edited since install wrote it is kept, unless `force`. With `dry_run`
    nothing changes, and the result is what would be done. Raises Misconfigured when
    something is in the way; the box is then as it was.
    """
    preflight.require_box()
    wanted = _wanted_files(options)
    preflight.check_records_directory(options.records)
    preflight.check_environment(options.records)
    if key_files.existing():
        load_keyrings(key_files.existing())
    config, _ = nginx_config()
    preflight.check_port(config, options.listen)

    plan = _plan(wanted, force)
    if dry_run:
        return plan.kept + _would_do(plan)
    return plan.kept + _carry_out(plan)


def _wanted_files(options: Options) -> dict[str, str]:
    units = {path: unit(name, options.records) for name, path in UNIT_FILES.items()}
    site = nginx_site(
        records=options.records,
        listen=options.listen,
        server_name=options.server_name,
        internal_prefix=load_settings(read_settings()).internal_prefix,
        cache_time=options.cache_time,
    )
    return {**units, SITE: site}


def _plan(wanted: dict[str, str], force: bool) -> Plan:
    digests = manifest.recorded()
    contents: dict[str, str] = {}
    edited: list[str] = []
    kept: list[Step] = []
    for path, text in wanted.items():
        current = files.read(path)
        if current == text:
            digests[path] = manifest.sha256(text)
            continue
        if current is not None and digests.get(path) != manifest.sha256(current):
            if not force:
                difference = files.difference(path, current, text)
                kept.append(Step(Action.KEPT, path, difference))
                continue
            edited.append(path)
        contents[path] = text
    if not os.path.lexists(SETTINGS):
        contents[SETTINGS] = _SETTINGS_TEXT
    return Plan(contents, edited, kept, digests)


def _would_do(plan: Plan) -> list[Step]:
    steps = [
        Step(Action.BACKED_UP, path, files.free_name(path)) for path in plan.edited
    ]
    steps += [
        Step(Action.WRITTEN, path, files.difference(path, files.read(path) or "", text))
        for path, text in plan.contents.items()
    ]
    if not key_files.existing():
        steps.append(Step(Action.CREATED, _FRESH_KEY))
    if default_site.is_untouched():
        steps.append(Step(Action.MOVED, default_site.ENABLED, default_site.KEPT))
    return steps


def _carry_out(plan: Plan) -> list[Step]:
    """Make the changes and start what uses them; on any failure undo all of it."""
    units_changed = any(path in plan.contents for path in UNIT_FILES.values())
    was_active = {x: is_active(x) for x in (*UNITS, NGINX_UNIT)}
    with contextlib.ExitStack() as undo:
        # called last, when the files are back
        undo.callback(_as_before, was_active, units_changed)
        steps = _write_files(plan, undo)
        site = _check_site()
        steps += _start_units(units_changed, undo)
        if steps or not was_active[NGINX_UNIT]:
            reload_nginx()
            steps.append(Step(Action.RELOADED, NGINX_UNIT))
        wait_for_site(site)
        remove_unused_cache()
        written = {x: manifest.sha256(text) for x, text in plan.contents.items()}
        recorded = manifest.text_of(plan.digests | written)
        if recorded != files.read(MANIFEST):
            write(MANIFEST, recorded, undo)
        undo.pop_all()
    return steps


def _write_files(plan: Plan, undo: contextlib.ExitStack) -> list[Step]:
    steps = []
    if not os.path.isdir(DIRECTORY):
        os.mkdir(DIRECTORY, 0o755)
        undo.callback(os.rmdir, DIRECTORY)
    if not key_files.existing():
        write(_FRESH_KEY, new_key(), undo, 0o600)
        steps.append(Step(Action.CREATED, _FRESH_KEY))
    for path, text in plan.contents.items():
        if path in plan.edited:
            steps.append(Step(Action.BACKED_UP, path, back_up(path, undo)))
        write(path, text, undo)
        steps.append(Step(Action.WRITTEN, path))
    if default_site.is_untouched():
        default_site.move_away()
        undo.callback(default_site.put_back)
        steps.append(Step(Action.MOVED, default_site.ENABLED, default_site.KEPT))
    return steps


def _start_units(changed: bool, undo: contextlib.ExitStack) -> list[Step]:
    steps = []
    if changed:
        systemctl("daemon-reload")
    disabled = [x for x in UNITS if not is_enabled(x)]
    for each in disabled:
        undo.callback(systemctl, "disable", "--now", each)
    if disabled:
        systemctl("enable", *UNITS)
        steps += [Step(Action.ENABLED, x) for x in disabled]
    stopped = [x for x in UNITS if not is_active(x)]
    if changed or stopped:
        # systemd does not recreate a socket while its service runs
        if changed:
            systemctl("stop", *reversed(UNITS))
        systemctl("start", *UNITS)
        steps += [Step(Action.STARTED, x) for x in UNITS]
    return steps


def _as_before(was_active: dict[str, bool], units_changed: bool) -> None:
    """Start and stop units so that they are as `was_active` says."""
    systemctl("daemon-reload")
    active = [name for name in UNITS if was_active[name]]
    if active and units_changed:
        systemctl("stop", *reversed(active))
    if active:
        systemctl("start", *active)
    if was_active[NGINX_UNIT]:
        reload_nginx()
    else:
        systemctl("stop", NGINX_UNIT)


def _check_site() -> Site:
    """Return our site; raises Misconfigured unless nginx reads it and nothing hides it."""
    config, warnings = nginx_config()
    site = find_site(config)
    if site is None:
        raise Misconfigured(
            f"nginx does not read {SITE}",
            "add `include /etc/nginx/conf.d/*.conf;` to the http block of nginx.conf",
        )
    if f'conflicting server name "{site.server_name}"' in warnings:
        raise Misconfigured(
            f"another nginx site has the name {site.server_name} on the same address",
            f"find it with `nginx -T | grep -n {site.server_name}` and remove it, or use"
            " another --server-name or --listen",
        )
    return site
