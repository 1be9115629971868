"""Ending all serving of links at once, for as long as the operator wants."""

import os

from ..errors import Misconfigured
from . import files
from .files import File
from .interrupted import changing
from .layout import NGINX_D, NGINX_UNIT, STOPPED
from .lock import locked
from .nginx import end_old_workers, nginx_config, reload_nginx
from .nginx_config import Directive
from .preflight import require_box
from .results import Action, Step
from .systemd import is_stopped

_TEXT = """\
# Written by `record-shim stop`. No link opens until `record-shim start` deletes this file.
return 503;
"""


def stop_serving() -> list[Step]:
    """Have nginx refuse every link from now on, and end all running downloads.

    This lasts until start_serving, also when nginx or the box is restarted. An nginx that
    does not run is not started. Raises Misconfigured.
    """
    require_box()
    with locked("stop"):
        _require_include(_config())
        steps = []
        if files.look(STOPPED) != File(_TEXT):
            os.makedirs(NGINX_D, 0o755, exist_ok=True)
            files.put(STOPPED, File(_TEXT))
            steps.append(Step(Action.WRITTEN, STOPPED))
        if not is_stopped(NGINX_UNIT):
            # also if the file was there: an earlier stop may have been interrupted
            reload_nginx()
            end_old_workers()
            steps.append(Step(Action.RELOADED, NGINX_UNIT))
    return steps


def start_serving() -> list[Step]:
    """Undo stop_serving. An nginx that does not run is not started; raises Misconfigured."""
    require_box()
    with changing("start") as steps:
        # nginx must be able to reload
        nginx_config()
        if os.path.lexists(STOPPED):
            files.put(STOPPED, None)
            steps.append(Step(Action.REMOVED, STOPPED))
        if not is_stopped(NGINX_UNIT):
            # also if the file is gone: an earlier start may have been interrupted
            reload_nginx()
            steps.append(Step(Action.RELOADED, NGINX_UNIT))
    return steps


def _config() -> Directive:
    try:
        return nginx_config()[0]
    except Misconfigured as error:
        raise Misconfigured(
            error.problem,
            f"{error.remedy}; to stop all sites at once, run systemctl stop nginx",
        ) from None


def _require_include(config: Directive) -> None:
    lines = f"{NGINX_D}/*.conf"
    if not any(x.words[1] == lines for x in config.find("include")):
        raise Misconfigured(
            f"the nginx site does not include {lines}, so it cannot be stopped",
            f"add `include {lines};` to its server block, or run record-shim install",
        )
