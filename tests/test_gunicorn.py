import os
import runpy
import subprocess
from pathlib import Path

import pytest
from support.links import TEST_KEY
from support.stack import BIN

from shim import gunicorn_conf


def gunicorn(tmp_path: Path, *args: str, **environ: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [
            BIN / "gunicorn",
            "--config=python:shim.gunicorn_conf",
            f"--bind=unix:{tmp_path}/socket",
            *args,
        ],
        env={"PATH": "/usr/bin:/bin"} | environ,
        cwd="/",
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("content", "mode", "setting", "message"),
    [
        ("not a key\n", 0o600, {}, "line 1: not a key"),
        (TEST_KEY, 0o644, {}, "chmod o="),
        ("", 0o600, {}, "contains no key"),
        (TEST_KEY, 0o600, {"SHIM_DISPOSITION": "x"}, "SHIM_DISPOSITION"),
        (TEST_KEY, 0o600, {"SHIM_INTERNAL_PREFIX": "x"}, "SHIM_INTERNAL_PREFIX"),
        (TEST_KEY, 0o600, {"SHIM_KEY_FILE": "/nonexistent"}, "/nonexistent"),
        (TEST_KEY, 0o600, {"SHIM_KEY_FILE": ""}, "SHIM_KEY_FILE"),
        (
            TEST_KEY,
            0o600,
            {"SHIM_DISPOSITON": "inline"},
            "did you mean SHIM_DISPOSITION?",
        ),
    ],
)
def test_a_bad_key_or_setting_keeps_it_from_starting(
    tmp_path: Path, content: str, mode: int, setting: dict[str, str], message: str
) -> None:
    """B12, B13: gunicorn exits with one line, which names what is wrong."""
    key = tmp_path / "key"
    key.write_text(content)
    key.chmod(mode)
    result = gunicorn(tmp_path, **({"SHIM_KEY_FILE": str(key)} | setting))
    assert result.returncode == 1
    [line] = [x for x in result.stderr.splitlines() if x and "[INFO]" not in x]
    assert message in line
    assert not (tmp_path / "socket").exists()


def test_a_key_for_both_formats_keeps_it_from_starting(
    tmp_path: Path, key_file: Path
) -> None:
    copy = tmp_path / "copy"
    copy.touch(0o600)
    copy.write_text(TEST_KEY.upper())
    keys = {"SHIM_KEY_FILE": str(key_file), "SHIM_JWE_KEY_FILE": str(copy)}
    result = gunicorn(tmp_path, **keys)
    assert result.returncode == 1
    [line] = [x for x in result.stderr.splitlines() if x and "[INFO]" not in x]
    assert f"'{copy}': shares a key with '{key_file}'" in line
    assert TEST_KEY not in line.lower()


def settings(tmp_path: Path, key_file: Path, *args: str, **environ: str) -> dict:
    environ = {"SHIM_KEY_FILE": str(key_file)} | environ
    output = gunicorn(tmp_path, "--print-config", *args, **environ).stdout
    pairs = (line.partition("=") for line in output.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def test_settings_and_what_overrides_them(tmp_path: Path, key_file: Path) -> None:
    shown = settings(tmp_path, key_file)
    assert shown["workers"] == str(gunicorn_conf.workers)
    assert shown["preload_app"] == "True"
    assert shown["control_socket_disable"] == "True"
    assert shown["limit_request_line"] == "8190"
    assert shown["accesslog"] == "None"
    assert shown["bind"] == f"['unix:{tmp_path}/socket']"
    assert settings(tmp_path, key_file, "--workers=7")["workers"] == "7"
    overridden = settings(
        tmp_path, key_file, GUNICORN_CMD_ARGS="--workers=5 --limit-request-line=9"
    )
    assert overridden["workers"] == "5"
    assert overridden["limit_request_line"] == "9"


@pytest.mark.parametrize(("cores", "workers"), [(1, 2), (2, 4), (8, 16), (64, 16)])
def test_two_workers_a_core_and_at_most_16(
    monkeypatch: pytest.MonkeyPatch, cores: int, workers: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    assert runpy.run_path(str(gunicorn_conf.__file__))["workers"] == workers
