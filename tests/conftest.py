"""Fixtures for all tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command import Result, Run
from support.links import FORMATS, TEST_JWE_KEY, TEST_KEY, Format, Targets, private
from support.recordings import all_recordings
from support.stack import Stack, free_port, running

from shim.box import layout
from shim.cli import main


@pytest.fixture(params=FORMATS)
def format_(request: pytest.FixtureRequest) -> Format:
    return FORMATS[request.param]


@pytest.fixture
def target_of(format_: Format) -> Targets:
    return format_.target_of


@pytest.fixture
def unchecked(format_: Format) -> Targets:
    return format_.unchecked


@pytest.fixture(scope="session")
def recordings() -> dict[str, bytes]:
    return all_recordings()


@pytest.fixture(scope="session", params=[None, "10m"], ids=["plain", "cached"])
def stack(
    request: pytest.FixtureRequest, recordings: dict[str, bytes]
) -> Iterator[Stack]:
    with running(
        recordings,
        free_port(),
        key=TEST_KEY,
        jwe_key=TEST_JWE_KEY,
        # test_browser.py publishes pages here
        page="starting",
        static_port=free_port(),
        cache_time=request.param,
    ) as stack:
        yield stack


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return private(tmp_path / "key", TEST_KEY)


@pytest.fixture
def jwe_key_file(tmp_path: Path) -> Path:
    return private(tmp_path / "jwe-key", TEST_JWE_KEY)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs record-shim with the arguments that it is given."""

    def run(*args: str) -> Result:
        with pytest.raises(SystemExit) as exit_:
            main(list(args))
        status = exit_.value.code or 0
        assert isinstance(status, int)
        return Result(status, *capsys.readouterr())

    return run


@pytest.fixture(autouse=True)
def without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the caller's settings, and a storage box's."""
    for name in os.environ:
        if name.upper().startswith("SHIM_"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    files = {name: f"/nonexistent/{name}" for name in layout.KEY_FILES}
    monkeypatch.setattr(layout, "KEY_FILES", files)
    monkeypatch.setattr(layout, "SETTINGS", "/nonexistent/settings")
