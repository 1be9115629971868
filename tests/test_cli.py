"""record-shim itself: its help, its version, its errors."""

import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
from support.command import Result, Run, assert_one_line
from support.stack import BIN


def test_version(run: Run) -> None:
    assert run("--version") == (0, version("record-shim") + "\n", "")


@pytest.mark.parametrize(
    "command",
    [
        *("", "keygen", "link", "open", "render", "render nginx", "render systemd"),
        *("install", "uninstall", "check", "restart", "stop", "start", "forget"),
    ],
)
def test_help_has_an_example(run: Run, command: str) -> None:
    status, out, _ = run(*command.split(), "--help")
    assert status == 0
    assert f"Example: record-shim {command}".rstrip() in out


def test_errors_are_one_line(run: Run, tmp_path: Path) -> None:
    assert_one_line(run("link", "/a.mp3"), "SHIM_KEY_FILE")
    missing = str(tmp_path / "missing")
    assert_one_line(run("open", "x", "--key-file", missing), missing)
    output = str(tmp_path / "no" / "key")
    assert_one_line(run("keygen", "--output", output), "No such file")


@pytest.mark.parametrize("args", ["keygen", "render nginx --records=/srv/records"])
def test_output_that_cannot_be_written(args: str) -> None:
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [BIN / "record-shim", *args.split()],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert_one_line(Result(result.returncode, "", result.stderr), "No space left")


def test_wrong_usage_exits_with_2(run: Run) -> None:
    for args in (("link",), ("render", "nginx"), ("nonsense",)):
        status, out, err = run(*args)
        assert (status, out) == (2, "")
        assert "Usage: record-shim" in err
