"""./run: what it prints, what it installs, and what lint refuses."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.checkout import CHECKOUT
from support.waiting import wait_for

RUN = CHECKOUT / "run"


def run(*args: str | Path, path: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/usr/bin/bash", *args],
        env=os.environ | ({"PATH": path} if path else {}),
        check=False,
        capture_output=True,
        text=True,
    )


def test_without_arguments_it_prints_its_usage() -> None:
    result = run(RUN)
    assert (result.returncode, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    commands = [line.split()[1] for line in lines]
    assert commands == ["demo", "test", "fuzz", "box", "bench", "lint"]
    assert all(line.startswith("./run ") for line in lines)


@pytest.fixture
def poor(tmp_path: Path) -> Path:
    """A copy of ./run for a machine with neither nginx nor root nor sudo."""
    for tool in ("bash", "dirname", "python3", "sed"):
        (tmp_path / tool).symlink_to(f"/usr/bin/{tool}")
    for tool, text in {"id": "echo 1000", "apt-get": "exit 1"}.items():
        (tmp_path / tool).write_text(f"#!/usr/bin/bash\n{text}\n")
        (tmp_path / tool).chmod(0o755)
    copy = tmp_path / "run"
    copy.write_text(RUN.read_text("utf-8").replace(":/usr/sbin:/sbin", ""), "utf-8")
    return copy


def test_it_names_the_packages_that_it_cannot_install(poor: Path) -> None:
    result = run(poor, "demo", path=str(poor.parent))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.endswith("as root, run: apt-get install nginx\n")
    assert result.stderr.count("\n") == 1
    assert not (poor.parent / ".venv").exists()


def test_only_root_boots_boxes(poor: Path) -> None:
    result = run(poor, "box", path=str(poor.parent))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "run: only root can boot containers; as root, run: ./run box\n"
    )


def needs(tmp_path: Path, *args: str) -> set[str]:
    """Return what the tests that `./run test ARGS` selects need."""
    file = tmp_path / "needs"
    subprocess.run(
        [sys.executable, "-m", "pytest", f"--list-needs={file}", *args],
        cwd=CHECKOUT,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return set(file.read_text().split())


def test_selected_tests_need_only_their_own_programs(tmp_path: Path) -> None:
    """B22: a part of the suite installs neither Chromium nor compilers."""
    assert needs(tmp_path, "tests/test_paths.py") == set()
    assert needs(tmp_path, "-k", "test_a_broken_download") == {"nginx", "curl", "wget"}
    jose = needs(tmp_path, "-k", "test_jose_agrees")
    assert jose == {"node", "npm", "npm:jose@5"}
    everything = needs(tmp_path)
    assert everything > jose | {"chromium", "chromedriver", "php", "go", "javac"}


def test_each_program_is_in_a_package(tmp_path: Path) -> None:
    """apt knows every package that ./run would install for a program."""
    function = RUN.read_text("utf-8").split("\npackage_of() {")[1].split("\n}\n")[0]
    programs = [x for x in needs(tmp_path) if not x.startswith("npm:")]
    script = f"package_of() {{{function}\n}}\nfor x; do package_of $x; done"
    packages = run("-c", script, "bash", *programs).stdout.split()
    assert len(packages) == len(programs) > 10
    known = run("-c", 'apt-cache show --no-all-versions "$@"', "bash", *packages)
    assert known.returncode == 0, known.stderr


A_PROJECT = {
    "setup.cfg": """\
[tool:pytest]
addopts = -p support.selection --cov=covered --cov-fail-under=95
testpaths = tests
markers = needs(program)
""",
    "covered.py": "def half(x):\n    if x:\n        return 1\n    return 2\n",
    "tests/test_it.py": """\
import covered
import pytest
from support.checkout import CHECKOUT
from support.waiting import wait_for


def test_one():
    assert covered.half(True) == 1


@pytest.mark.needs("no-such-program")
def test_two():
    raise AssertionError("not reached")
""",
}


HANGING_TEST = """\
import pathlib
import time

import pytest


@pytest.fixture
def started():
    file = pathlib.Path("started")
    file.touch()
    yield
    file.unlink()


def test_it(started):
    time.sleep(600)
"""


def environ(project: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": f"{project}{os.pathsep}{CHECKOUT / 'tests'}"}


def pytest_in(project: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", *args],
        cwd=project,
        env=environ(project),
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project with this suite's plugin."""
    for name, text in A_PROJECT.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


PARTS = {
    "tests/test_it.py::test_one": 0,
    "-k test_one": 0,
    "-m not(needs)": 0,
    "--deselect tests/test_it.py::test_two": 0,
    "--ignore=tests/test_it.py": 5,
    "--ignore-glob=*.py": 5,
    "--lf": 1,
    "--stepwise --stepwise-skip": 1,
    "--co": 0,
}


@pytest.mark.parametrize(("options", "status"), PARTS.items())
def test_a_part_of_the_suite_is_not_judged_by_its_coverage(
    project: Path, options: str, status: int
) -> None:
    part = pytest_in(project, *options.split())
    assert part.returncode == status, part.stdout
    assert "coverage" not in part.stdout
    assert part.stderr == ""


@pytest.mark.parametrize("options", [[], ["-p", "no:cacheprovider"]])
def test_the_whole_suite_is_judged_by_its_coverage(
    project: Path, options: list[str]
) -> None:
    whole = pytest_in(project, *options)
    assert whole.returncode == 1
    assert "Required test coverage of 95% not reached" in whole.stdout
    assert whole.stderr == ""
    # two runs at once would write to the same file
    assert not (project / ".coverage").exists()


def test_fixtures_are_torn_down_when_it_is_terminated(project: Path) -> None:
    (project / "tests/test_it.py").write_text(HANGING_TEST)
    with subprocess.Popen(
        [sys.executable, "-m", "pytest"], cwd=project, env=environ(project)
    ) as suite:
        wait_for((project / "started").exists)
        suite.terminate()
    assert suite.returncode == pytest.ExitCode.INTERRUPTED
    assert not (project / "started").exists()


@pytest.mark.needs("npm")
def test_npm_says_why_it_fails(tmp_path: Path) -> None:
    """B23: above "see above" is npm's own message."""
    function = RUN.read_text("utf-8").split("\nnpm_package() {")[1].split("\n}\n")[0]
    offline = {
        "npm_config_registry": "http://127.0.0.1:1",
        "npm_config_fetch_retries": "0",
        "npm_config_cache": str(tmp_path),
    }
    die = 'die() { echo "run: $1" >&2; exit 1; }'
    script = f"{die}; npm_package() {{{function}\n}}; npm_package jose@5"
    result = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=os.environ | offline,
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    *above, last = result.stderr.splitlines()
    assert last == "run: npm could not install jose@5: see above"
    assert "ECONNREFUSED" in "\n".join(above)


def test_a_missing_program_fails_its_test(project: Path) -> None:
    result = pytest_in(project, "-k", "test_two")
    assert result.returncode == 1
    assert "not installed: no-such-program" in result.stdout
    assert "not reached" not in result.stdout


FORBIDDEN = {
    "tokens/paths.py": "from ..box import layout",
    "tokens/ecb.py": "import flask",
    "tokens/__init__.py": "import werkzeug",
    "app.py": "import click",
    "gunicorn_conf.py": "from .box import layout",
    "errors.py": "from . import tokens",
    "box/files.py": "from .. import app",
    "storage.py": "a module without a layer",
}


@pytest.mark.parametrize("module", [None, *FORBIDDEN])
def test_lint_refuses_imports_that_point_the_wrong_way(
    tmp_path: Path, module: str | None
) -> None:
    leave_out = shutil.ignore_patterns("__pycache__")
    shutil.copytree(
        CHECKOUT / "shim", tmp_path / "shim", ignore=leave_out, symlinks=True
    )
    shutil.copy(CHECKOUT / "setup.cfg", tmp_path)
    if module:
        file = tmp_path / "shim" / module
        text = FORBIDDEN[module]
        line = text if text.startswith(("from", "import")) else f"# {text}"
        file.write_text(f"{file.read_text('utf-8') if file.exists() else ''}\n{line}\n")
    result = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == (1 if module else 0), result.stdout
