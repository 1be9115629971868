"""Coverage of shim/box/, measured while the box tests run commands.

The box's virtual environment contains coverage, which starts in every Python process
that has COVERAGE_PROCESS_START in its environment. Box.ran sets it, so commands are
measured and the service, which systemd starts, is not.
"""

import os
import re
from pathlib import Path
from typing import TextIO

import coverage

from .checkout import CHECKOUT

LEAST = 90
DIRECTORY = "/coverage"  # on the box
# Coverage slows each command by 0.1 s. `link` runs most often, so it is not measured.
_MEASURED = re.compile(r"record-shim (install|uninstall|check|forget|keygen|render)\b")

_SHIM = CHECKOUT / "shim"
# Not every Python process on the box imports shim.box, hence the disabled warning.
_ON_THE_BOX = f"""\
[run]
branch = True
parallel = True
data_file = {DIRECTORY}/data
include = */shim/box/*, */shim/cli/box.py
# check works in child processes, which end with os._exit
patch = fork, _exit
disable_warnings = no-data-collected
"""
_HERE = f"""\
[run]
branch = True
[paths]
shim =
    {_SHIM}
    */site-packages/shim
"""


def environ(script: str) -> dict[str, str]:
    """Return the variables with which a box measures the commands of `script`."""
    if _MEASURED.search(script):
        return {"COVERAGE_PROCESS_START": f"{DIRECTORY}/box.ini"}
    return {}


def prepare(directory: Path) -> None:
    """Make `directory`, which a box is to see as DIRECTORY, ready to take data."""
    # A test may run a command as another user.
    directory.chmod(0o1777)
    (directory / "box.ini").write_text(_ON_THE_BOX)
    (directory / "here.ini").write_text(_HERE)


def report(directory: Path, out: TextIO) -> float:
    """Write the coverage of all boxes to `out`; return it in percent."""
    measured = coverage.Coverage(
        data_file=os.fspath(directory / "data"),
        config_file=os.fspath(directory / "here.ini"),
    )
    measured.combine([os.fspath(directory)])
    return measured.report(file=out, show_missing=True)
