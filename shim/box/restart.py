"""Restarting the endpoint's service, if it would start."""

import contextlib
import os
import shlex
import sys

from ..errors import Misconfigured
from ..tokens.settings import load_settings
from . import key_files
from .interrupted import changing
from .layout import SERVICE_UNIT, SETTINGS, UNIT_FILES
from .nginx import nginx_config
from .nginx_config import find_site
from .preflight import require_box
from .programs import run
from .results import Action, Finding, Step
from .service_checks import load_box_settings, load_keys
from .settings_file import read_settings, read_variables
from .systemd import systemctl, unit_property

# on a busy box, gunicorn takes a few seconds to load everything
_SECONDS = 60


def restart_service() -> list[Step]:
    """Restart the service with the current keys and settings, and wait until it runs.

    Raises Misconfigured, without a restart, when a key file or a setting is invalid.
    """
    require_box()
    with changing("restart") as steps:
        if not os.path.lexists(UNIT_FILES[SERVICE_UNIT]):
            raise Misconfigured(
                f"{SERVICE_UNIT} is not installed", "run record-shim install"
            )
        check_start()
        _check_prefix()
        systemctl("restart", SERVICE_UNIT)
    return [*steps, Step(Action.RESTARTED, SERVICE_UNIT)]


def _check_prefix() -> None:
    """Raise Misconfigured when nginx's site has another SHIM_INTERNAL_PREFIX."""
    ours = load_settings(read_settings()).internal_prefix
    site = None
    # a site that nginx cannot read has nothing to do with this restart
    with contextlib.suppress(Misconfigured):
        site = find_site(nginx_config()[0])
    if site is not None and site.internal_prefix != ours:
        raise Misconfigured(
            f"SHIM_INTERNAL_PREFIX is {ours}, but {site.internal_prefix} in nginx's site",
            "run record-shim install, which changes both",
        )


def check_start() -> None:
    """Raise Misconfigured when the service would not start with the current files."""
    _require(load_keys()[1])
    _require(load_box_settings()[1])
    check_gunicorn()


def check_gunicorn() -> None:
    """Raise Misconfigured when gunicorn would not start with the current files."""
    gunicorn = os.path.join(sys.prefix, "bin", "gunicorn")
    options = ("--check-config", "--config", "python:shim.gunicorn_conf")
    result = run(gunicorn, *options, environ=_service_environ(), seconds=_SECONDS)
    if result.returncode != 0:
        lines = [x for x in result.stderr.splitlines() if x.strip()]
        fault = lines[-1] if lines else f"status {result.returncode}"
        raise Misconfigured(
            f"gunicorn would not start: {fault}",
            f"correct GUNICORN_CMD_ARGS in {SETTINGS}",
        )


def _require(finding: Finding) -> None:
    if not finding.ok:
        raise Misconfigured(finding.detail, finding.remedy)


def _service_environ() -> dict[str, str]:
    """Return what the service gets from its unit and the settings file, and the key files."""
    lines = shlex.split(unit_property(SERVICE_UNIT, "Environment"))
    unit = {name: value for name, _, value in (x.partition("=") for x in lines)}
    # systemd.exec(5), "Environment Variables in Spawned Processes"
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, **unit, **read_variables(), **key_files.existing()}
