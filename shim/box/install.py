"""Setting up a storage box, and bringing it up to date: everything or nothing."""

import contextlib
import os
from functools import partial
from typing import NamedTuple

from ..errors import Misconfigured
from ..tokens.keys import ECB, load_keyrings, new_key
from ..tokens.settings import load_settings
from . import (
    audit_log,
    certbot,
    default_site,
    files,
    install_conf,
    journal,
    key_files,
    manifest,
    preflight,
    units,
)
from .bounded import SECONDS, unread, within
from .files import File
from .forget import remove_unused_cache
from .install_conf import Given, Options
from .interrupted import rolled_back
from .layout import (
    ACME_DIR,
    DIRECTORY,
    INSTALL_CONF,
    KEY_FILES,
    MANIFEST,
    NGINX_D,
    NGINX_UNIT,
    SERVICE_UNIT,
    SETTINGS,
    SITE,
    STATE_DIR,
    UNIT_FILES,
    UNITS,
    WANTS,
)
from .lock import locked
from .nginx import answers, nginx_config, nginx_version, reload_nginx, wait_for_site
from .nginx_config import Directive, Site, find_site
from .restart import check_start
from .results import Action, Step
from .settings_file import read_settings
from .systemd import is_active, systemctl
from .templates import nginx_site, unit

# only where there is no key at all, because a key is what makes its format open
_FRESH_KEY = KEY_FILES[ECB]
_SETTINGS_TEXT = """\
# Settings of record-shim, one NAME=VALUE per line. docs/settings.md in record-shim's
# repository lists them. After a change, run record-shim restart; after a change of
# SHIM_INTERNAL_PREFIX, run record-shim install.
"""
_DIRECTORIES = (DIRECTORY, NGINX_D, STATE_DIR, ACME_DIR)
_CREATED = (*_DIRECTORIES, *(os.path.dirname(x) for x in WANTS), *audit_log.FILES)


class Plan(NamedTuple):
    """What install is going to change."""

    after: dict[
        str, File | None
    ]  # files that are missing or out of date; None: removed
    steps: list[Step]  # what to say about it; WRITTEN has the difference


def install_box(given: Given, *, dry_run: bool, force: bool) -> list[Step]:
    """Write the files that are missing or out of date, and start what uses them.

    Options that are not `given` are those of the last install. A file that was edited
    since install wrote it is kept, unless `force`. With `dry_run` nothing changes, and
    the result is what would be done. Raises Misconfigured when something is in the way;
    the box is then as it was.
    """
    preflight.require_box()
    with locked("install"):
        steps = rolled_back(dry_run=dry_run)
        config = _config_before()
        old = install_conf.remembered(config)
        options = install_conf.with_given(old, given)
        wanted = _wanted_files(options)
        _check(options, config)
        changes = install_conf.changes(old, options)
        plan = _plan(wanted, options, force)
        outdated = [x.path for x in plan.steps if x.action is Action.OUTDATED]
        if changes and outdated:
            raise Misconfigured(
                f"{outdated[0]} was edited, so this cannot change: {changes[0]}",
                f"move your lines to {NGINX_D}, then add --force, which keeps a backup",
            )
        steps += [Step(Action.CHANGED, INSTALL_CONF, x) for x in changes] + plan.steps
        if dry_run:
            return steps
        if config is not None and options.cache_time:
            # what an earlier cached form left behind must not be used again
            remove_unused_cache()
        return [_without_difference(x) for x in steps] + _carry_out(plan)


def _check(options: Options, config: Directive | None) -> None:
    """Raise Misconfigured when something on the box is in the way."""
    records = partial(preflight.check_records_directory, options.records)
    within(SECONDS, records, unread(f"--records {options.records!r}"))
    preflight.check_environment(options.records)
    preflight.check_units()
    if options.certificate and options.certificate_key:
        preflight.check_certificate(options.certificate, options.certificate_key)
    if key_files.existing():
        load_keyrings(key_files.existing())
    if config is not None:
        preflight.check_includes(config)
        preflight.check_ports(config, options.listen, options.certificate)


def _config_before() -> Directive | None:
    """Return nginx's configuration, None if our own site may be what makes it invalid.

    Raises Misconfigured when it is invalid without our site.
    """
    try:
        return nginx_config()[0]
    except Misconfigured:
        if not os.path.lexists(SITE):
            raise
    return None


def _wanted_files(options: Options) -> dict[str, str]:
    wanted = {path: unit(name, options.records) for name, path in UNIT_FILES.items()}
    wanted[SITE] = nginx_site(
        records=options.records,
        listen=options.listen,
        server_name=options.server_name,
        internal_prefix=load_settings(read_settings()).internal_prefix,
        cache_time=options.cache_time,
        certificate=options.certificate,
        certificate_key=options.certificate_key,
        nginx_version=nginx_version(),
    )
    return wanted


def _plan(wanted: dict[str, str], options: Options, force: bool) -> Plan:
    plan = Plan({}, [])
    digests = manifest.recorded()
    for path, text in wanted.items():
        _plan_file(plan, path, text, digests, force)
    if not os.path.lexists(SETTINGS):
        settings = File(_SETTINGS_TEXT)
        plan.after[SETTINGS] = settings
        plan.steps.append(_written(SETTINGS, None, settings.text))
        digests[SETTINGS] = settings.digest()
    if not key_files.existing():
        plan.after[_FRESH_KEY] = File(new_key(), mode=0o600)
        plan.steps.append(Step(Action.CREATED, _FRESH_KEY))
    if default_site.is_untouched():
        plan.after[default_site.KEPT] = files.look(default_site.ENABLED)
        plan.after[default_site.ENABLED] = None
        plan.steps.append(Step(Action.MOVED, default_site.ENABLED, default_site.KEPT))
    # one with the same options may have comments of the operator's
    if not install_conf.is_current(options):
        plan.after[INSTALL_CONF] = File(install_conf.text_of(options))
    recorded = manifest.text_of(digests)
    if files.read(MANIFEST) != recorded:
        plan.after[MANIFEST] = File(recorded)
    return plan


def _plan_file(
    plan: Plan, path: str, text: str, digests: dict[str, str], force: bool
) -> None:
    """Add the file to the plan if it differs from `text`, and its digest to `digests`."""
    # a site that is a symbolic link stays one
    target = os.path.realpath(path)
    current, wanted, recorded = files.look(target), File(text), digests.get(path, "")
    if current is None:
        plan.after[target] = wanted
    elif current.text != text:
        if current.digest() != recorded:
            if not force and not certbot.is_certbots(current, recorded):
                is_newest = wanted.digest() == recorded
                action = Action.KEPT if is_newest else Action.OUTDATED
                difference = files.difference(path, current.text, text)
                plan.steps.append(Step(action, path, difference))
                return
            backup = files.free_name(path)
            plan.after[backup] = current
            plan.steps.append(Step(Action.BACKED_UP, path, backup))
        plan.after[target] = current._replace(text=text)
    if target in plan.after:
        plan.steps.append(_written(path, current, text))
    digests[path] = wanted.digest()


def _written(path: str, current: File | None, text: str) -> Step:
    old = current.text if current else ""
    return Step(Action.WRITTEN, path, files.difference(path, old, text))


def _without_difference(step: Step) -> Step:
    return step._replace(detail="") if step.action is Action.WRITTEN else step


def _carry_out(plan: Plan) -> list[Step]:
    """Make the changes and start what uses them; on any failure undo all of it."""
    changed = units.changed_units(plan.after)
    if not changed and units.is_outdated():
        changed = [SERVICE_UNIT]
    if changed and is_active(SERVICE_UNIT):
        check_start()
    with journal.change("install", plan.after, _CREATED):
        for directory in _DIRECTORIES:
            os.makedirs(directory, 0o755, exist_ok=True)
        audit_log.make_private()
        for path, file in plan.after.items():
            files.put(path, file)
        site = _check_site()
        if plan.after:
            systemctl("daemon-reload")
        steps = units.enable() + units.start(UNITS, changed)
        runs = is_active(NGINX_UNIT)
        if plan.after or not runs or not answers(site):
            reload_nginx(start=True)
            action = Action.RELOADED if runs else Action.STARTED
            steps.append(Step(action, NGINX_UNIT))
        wait_for_site(site)
    # it would not be used again, so that this can fail
    with contextlib.suppress(Misconfigured):
        remove_unused_cache()
    return steps


def _check_site() -> Site:
    """Return our site; raises Misconfigured unless nginx reads it and nothing hides it."""
    config, warnings = nginx_config()
    site = find_site(config)
    if site is None:
        raise Misconfigured(
            f"the site is not in {SITE}", "run record-shim install --force"
        )
    if f'conflicting server name "{site.server_name}"' in warnings:
        raise Misconfigured(
            f"another nginx site has the name {site.server_name} on the same address",
            f"run grep -rn {site.server_name} /etc/nginx to find it, and remove it; or use"
            " another --server-name or --listen",
        )
    return site
