import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo import demo_recordings
from stack import Stack, free_port, running

VECTORS = json.loads(Path(__file__).with_name("vectors.json").read_text("utf-8"))
TEST_KEY = VECTORS["key_hex"]  # for tests only

# what a link may point at beside recordings; none of it may be told from nothing
OTHER_FILES = {"/300/.hidden.mp3": b"hidden", "/.htpasswd": b"hidden"}
BIG = "/300/big.wav"
# percent-encoded it takes 9 KB of header
LONG = "/" + "/".join(["д" * 127] * 12) + "/запись.mp3"


def recording(path: str) -> bytes:
    """Return bytes that only the file at `path` holds."""
    return f"recording of {path}\n".encode() * 500


@pytest.fixture(scope="session")
def recordings() -> dict[str, bytes]:
    opens = {
        vector["path"]: recording(vector["path"]) for vector in VECTORS["opens"]
    } | {LONG: recording(LONG)}
    return opens | demo_recordings() | {BIG: bytes(range(256)) * 40_000} | OTHER_FILES


@pytest.fixture(scope="session", params=[None, "10m"], ids=["plain", "cached"])
def stack(
    request: pytest.FixtureRequest, recordings: dict[str, bytes]
) -> Iterator[Stack]:
    with running(
        recordings,
        free_port(),
        key=TEST_KEY,
        page="starting",
        static_port=free_port(),
        cache_time=request.param,
    ) as stack:
        yield stack


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_text(TEST_KEY + "\n")
    return path


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of whoever runs the tests stay out of them."""
    for name in ("KEY_FILE", "INTERNAL_PREFIX", "PATH_PREFIX", "DISPOSITION"):
        monkeypatch.delenv(f"SHIM_{name}", raising=False)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
