import ast
import configparser
import re
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

from support.checkout import CHECKOUT, build_wheel
from support.command import Result, assert_one_line


def test_every_imported_package_is_declared() -> None:
    """A16: what shim imports is in install_requires, not only what brings it along."""
    imported = {
        name.partition(".")[0]
        for file in (CHECKOUT / "shim").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        for name in (
            [x.name for x in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
    }
    distributions = packages_distributions()
    # for the type checker only
    others = imported - sys.stdlib_module_names - {"_typeshed"}
    config = configparser.ConfigParser()
    config.read(CHECKOUT / "setup.cfg")
    declared = re.findall(
        r"^[\w-]+", config["options"]["install_requires"], re.MULTILINE
    )
    assert {distributions[x][0].lower() for x in others} == set(declared)


def create_venv(venv: Path) -> Path:
    """Return a new virtual environment in which the checkout's wheel is installed."""
    wheel = build_wheel(venv.parent)
    recipes = {f"shim/nginx/{x.name}" for x in (CHECKOUT / "nginx").iterdir()}
    assert recipes <= set(zipfile.ZipFile(wheel).namelist())
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    subprocess.run([venv / "bin/pip", "install", "--quiet", wheel], check=True)
    return venv


def one_line(venv: Path, *args: str) -> str:
    """Return the one line on stderr of a command that fails."""
    result = subprocess.run(
        [venv / "bin/record-shim", *args],
        cwd="/",
        check=False,
        text=True,
        capture_output=True,
    )
    assert_one_line(Result(result.returncode, result.stdout, result.stderr), "")
    return result.stderr


def test_another_python_is_one_line(tmp_path: Path) -> None:
    """B16: after an upgrade of Debian the command says what to do, without a traceback."""
    # pip cannot write a #! line for a path with a blank
    venv = create_venv(tmp_path / "virtual environment")
    [packages] = venv.glob("lib/python3.*/site-packages")
    [metadata] = packages.glob("record_shim-*.dist-info")
    metadata.rename(packages / "other")
    assert "the version is unknown" in one_line(venv, "--version")
    packages.parent.rename(venv / "lib/python3.0")
    for command in ("check", "--version"):
        error = one_line(venv, command)
        assert "No module named 'shim'" in error
        assert f"run python3 -m venv --clear '{venv}', install" in error


def test_a_wheel_renders_away_from_the_checkout(tmp_path: Path) -> None:
    venv = create_venv(tmp_path / "venv")
    link = tmp_path / "record-shim"
    link.symlink_to(venv / "bin/record-shim")
    for args, text in {
        ("nginx", "--records=/srv/records"): 'alias "/srv/records/";',
        ("systemd",): f"ExecStart={venv}/bin/gunicorn ",
    }.items():
        rendered = subprocess.run(
            [link, "render", *args],
            cwd="/",
            # the command finds its Python whatever the caller's PATH is
            env={"PATH": "/nonexistent"},
            check=True,
            text=True,
            stdout=subprocess.PIPE,
        )
        assert text in rendered.stdout
