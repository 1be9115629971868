"""A pytest plugin: the programs that the selected tests need, and coverage of all tests.

A test says what it runs besides Python: `@pytest.mark.needs("nginx", "curl")`. A name
such as `npm:jose@5` is a package of npm. `--list-needs FILE` writes the names that the
selected tests need to FILE, one a line, and runs nothing: `./run test` installs them.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

NPM = "npm:"
# pytest's names of the options that select a part of the suite, or run nothing
NARROWING = (
    *("file_or_dir", "keyword", "markexpr", "deselect", "ignore", "ignore_glob"),
    *("lf", "stepwise", "collectonly"),
)


def is_whole_suite(option: argparse.Namespace) -> bool:
    """Return whether these options of pytest's select every test of `testpaths`."""
    # an option is absent if its plugin is disabled, such as lf by -p no:cacheprovider
    return not any(getattr(option, name, None) for name in NARROWING)


def needs_of(items: list[pytest.Item]) -> set[str]:
    """Return what the tests of `items` need, and what brings npm's packages."""
    names = {
        name
        for item in items
        for mark in item.iter_markers("needs")
        for name in mark.args
    }
    if any(name.startswith(NPM) for name in names):
        names.add("npm")
    return names


def is_installed(name: str) -> bool:
    if name.startswith(NPM):
        package = name.removeprefix(NPM).rpartition("@")[0]
        return Path(sys.prefix, "node_modules", package).exists()
    return shutil.which(name) is not None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--list-needs",
        metavar="FILE",
        type=Path,
        help="write what the selected tests need to FILE, and run none of them",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # Like Ctrl-C, so that fixtures stop what they have started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if config.option.list_needs:
        config.option.collectonly = True


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    # A part of the suite is not expected to cover what the whole does. This is a
    # wrapper so that it runs before pytest-cov, which reads the option here.
    option = early_config.known_args_namespace
    if option.list_needs or not is_whole_suite(option):
        option.cov_source = []
    with pytest.MonkeyPatch.context() as environ:
        if option.cov_source and "COVERAGE_FILE" not in os.environ:
            # Two runs at once must not write to the same file. Only pytest-cov reads
            # the variable: tests may run pytest themselves.
            directory = tempfile.TemporaryDirectory(prefix="coverage-")
            early_config.add_cleanup(directory.cleanup)
            environ.setenv("COVERAGE_FILE", f"{directory.name}/data")
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        # real nginx and gunicorn
        if "stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.needs("nginx"))


def pytest_collection_finish(session: pytest.Session) -> None:
    if file := session.config.option.list_needs:
        file.write_text("".join(f"{x}\n" for x in sorted(needs_of(session.items))))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    missing = [x for x in sorted(needs_of([item])) if not is_installed(x)]
    if missing:
        pytest.fail(
            f"not installed: {', '.join(missing)}; `./run test` installs what tests need",
            pytrace=False,
        )
