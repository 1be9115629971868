"""The boxes that the box tests run on, and how much of shim/box/ they execute."""

import fcntl
import os
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from support import box_coverage
from support.box import CACHE, DEFAULTS, INSTALL, SHIM, Box, booted, readme_commands
from support.selection import is_whole_suite

COVERAGE = pytest.StashKey[Path]()
REPORT = pytest.StashKey[str]()


@pytest.fixture(scope="session")
def coverage(request: pytest.FixtureRequest, tmp_path_factory) -> Path:
    """The directory in which all boxes leave their coverage data."""
    directory = tmp_path_factory.mktemp("coverage")
    box_coverage.prepare(directory)
    request.config.stash[COVERAGE] = directory
    return directory


@pytest.fixture(
    scope="session", params=os.environ.get("DEBIAN", "bookworm trixie").split()
)
def machine(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    coverage: Path,
) -> Iterator[Box]:
    """A box on which the README's first command has been run."""
    with booted(request.param, tmp_path_factory.mktemp("wheels"), coverage) as box:
        # pip finds in /wheels what it would download
        offline = "export PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels; cd /wheels"
        box.run(f"{offline}; {readme_commands()[0]}")
        box.run(f"{offline}; /opt/record-shim/bin/pip install -q coverage")
        yield box


@pytest.fixture(scope="module")
def alone() -> Iterator[None]:
    """Keep the other Debian's tests from putting load on this machine as well."""
    with open(CACHE / "load.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def bare(machine: Box) -> Box:
    """A box on which record-shim has not been set up."""
    machine.run(
        f"{SHIM} uninstall --purge;"
        " rm -f /etc/nginx/conf.d/*.bak* /etc/systemd/system/record-shim.*.bak*"
    )
    return machine


@pytest.fixture
def box(machine: Box) -> Box:
    """A box that is set up."""
    machine.run(f"{INSTALL} {DEFAULTS}")
    return machine


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Report the coverage; fail when the whole suite did not reach its least."""
    directory = session.config.stash.get(COVERAGE, None)
    if directory is None:
        return
    text = StringIO()
    percent = box_coverage.report(directory, text)
    if is_whole_suite(session.config.option) and percent < box_coverage.LEAST:
        text.write(f"FAIL: {percent:.0f} % is less than {box_coverage.LEAST} %\n")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    session.config.stash[REPORT] = text.getvalue()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if report := config.stash.get(REPORT, ""):
        terminalreporter.section("coverage on the boxes")
        terminalreporter.write(report)
