"""The checkout that these tests belong to, and wheels built from it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")


def build_wheel(directory: Path, version: str | None = None) -> Path:
    """Build the checkout's wheel in `directory`, as another `version` if one is given."""
    source = directory / "source"
    # a copy, so that nothing of an earlier build gets into the wheel
    leave_out = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "tests")
    shutil.copytree(CHECKOUT, source, symlinks=True, ignore=leave_out)
    environ = dict(os.environ)
    if version:
        environ["SETUPTOOLS_SCM_PRETEND_VERSION_FOR_RECORD_SHIM"] = version
    build = ("wheel", "--no-deps", "--no-build-isolation", "-w", directory, source)
    subprocess.run([*PIP, *build], check=True, env=environ)
    shutil.rmtree(source)
    [wheel] = directory.glob("record_shim-*.whl")
    return wheel
