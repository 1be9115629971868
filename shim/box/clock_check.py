"""Checks of the box's clock, which decides when JWE links expire."""

import os
import time

from ..errors import Misconfigured
from . import layout
from .programs import run
from .results import Finding, bad, good, warning

_DAY = 86_400
_TIMEDATECTL_SECONDS = 10
_SET = "run timedatectl to see the time, and correct it"


def check_clock() -> Finding:
    """Check that the clock is synchronized, and not earlier than the installation."""
    try:
        installed = os.stat(layout.MANIFEST).st_mtime
    except OSError:
        installed = 0
    if time.time() < installed - _DAY:
        problem = (
            f"clock: {_now()}, which is before the installation on {_date(installed)}"
        )
        return bad("clock", problem, _SET)
    try:
        shown = run("timedatectl", "show", seconds=_TIMEDATECTL_SECONDS).stdout
    except Misconfigured as error:
        return warning("clock", f"clock: {error.problem}", error.remedy)
    except FileNotFoundError:
        shown = ""
    properties = dict(x.split("=", 1) for x in shown.splitlines() if "=" in x)
    if properties.get("NTPSynchronized") == "yes":
        return good("clock", "clock: synchronized")
    if properties.get("CanNTP") != "yes":
        remedy = (
            "run apt-get install systemd-timesyncd, unless the machine around this"
            " container or virtual machine sets its clock"
        )
    elif properties.get("NTP") != "yes":
        remedy = "run timedatectl set-ntp true, which starts systemd-timesyncd"
    else:
        remedy = "run timedatectl timesync-status to see whether a time server answers"
    problem = "clock: not synchronized, so JWE links may expire too early or too late"
    return warning("clock", problem, remedy)


def check_clock_against(record: str, modified: float) -> Finding | None:
    """Return what is wrong with the clock if the newest `record` is from the future."""
    if time.time() > modified - _DAY:
        return None
    problem = f"clock: {_now()}, but record {record!r} is of {_date(modified)}"
    return bad("clock", problem, _SET)


def _now() -> str:
    return _date(time.time())


def _date(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment))
