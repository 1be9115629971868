import subprocess
import sys
from pathlib import Path

import pytest
from support.checkout import build_wheel
from support.command import Result, assert_one_line


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """A virtual environment in which the checkout's wheel is installed."""
    wheel = build_wheel(tmp_path)
    venv = tmp_path / "venv"
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


def test_another_python_is_one_line(venv: Path) -> None:
    """B16: after an upgrade of Debian the command says what to do, without a traceback."""
    [packages] = venv.glob("lib/python3.*/site-packages")
    [metadata] = packages.glob("record_shim-*.dist-info")
    metadata.rename(packages / "other")
    assert "the version is unknown" in one_line(venv, "--version")
    packages.parent.rename(venv / "lib/python3.0")
    for command in ("check", "--version"):
        error = one_line(venv, command)
        assert "No module named 'shim'" in error
        assert f"run python3 -m venv --clear {venv}, install" in error


def test_a_wheel_renders_away_from_the_checkout(venv: Path) -> None:
    for args, text in {
        ("nginx", "--records=/srv/records"): 'alias "/srv/records/";',
        ("systemd",): f"ExecStart={venv}/bin/gunicorn ",
    }.items():
        rendered = subprocess.run(
            [venv / "bin/record-shim", "render", *args],
            cwd="/",
            check=True,
            text=True,
            stdout=subprocess.PIPE,
        )
        assert text in rendered.stdout
