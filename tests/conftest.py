"""What every test may ask for."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.links import FORMATS, TEST_JWE_KEY, TEST_KEY, Format, Targets, private
from support.recordings import all_recordings
from support.stack import Stack, free_port, running

from shim.box import layout


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


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of whoever runs the tests stay out of them."""
    for name in (
        "KEY_FILE",
        "JWE_KEY_FILE",
        "INTERNAL_PREFIX",
        "PATH_PREFIX",
        "DISPOSITION",
    ):
        monkeypatch.delenv(f"SHIM_{name}", raising=False)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    # and so do those of a storage box, should they run on one
    files = {name: f"/nonexistent/{name}" for name in layout.KEY_FILES}
    monkeypatch.setattr(layout, "KEY_FILES", files)
    monkeypatch.setattr(layout, "SETTINGS", "/nonexistent/settings")
