from collections.abc import Iterator

import pytest
from support.box import INSTALL, SHIM, Box, booted, readme_commands


@pytest.fixture(scope="session", params=["bookworm", "trixie"])
def machine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Box]:
    """A box on which the README's first command has been run."""
    with booted(request.param, tmp_path_factory.mktemp("wheels")) as box:
        # pip finds in /wheels what it would download
        offline = "export PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels; cd /wheels"
        box.run(f"{offline}; {readme_commands()[0]}")
        yield box


@pytest.fixture
def bare(machine: Box) -> Box:
    """A box on which record-shim has not been set up."""
    machine.run(f"{SHIM} uninstall --purge")
    return machine


@pytest.fixture
def box(machine: Box) -> Box:
    """A box that is set up."""
    machine.run(INSTALL)
    return machine
