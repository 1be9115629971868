import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from demo import demo_recordings
from forging import encrypt, encrypt_claims
from stack import Stack, free_port, running

from shim import box, ecb, jwe
from shim.claims import Claims

VECTORS = json.loads(Path(__file__).with_name("vectors.json").read_text("utf-8"))
# for tests only
TEST_KEY = VECTORS["key_hex"]
TEST_JWE_KEY = bytes(range(100, 132)).hex()

# what a link may point at beside recordings; none of it may be told from nothing
OTHER_FILES = {"/300/.hidden.mp3": b"hidden", "/.htpasswd": b"hidden"}
BIG = "/300/big.wav"
# percent-encoded it takes 9 KB of header
LONG = "/" + "/".join(["д" * 127] * 12) + "/запись.mp3"


Targets = Callable[[str], str]


class Format(NamedTuple):
    """How a test makes the targets of links: as one should, and of any path at all."""

    target_of: Targets
    unchecked: Targets


def end() -> int:
    return int(time.time()) + 3600


def api_target(path: str) -> str:
    return "/" + ecb.seal(path, (bytes.fromhex(TEST_KEY),))


def sealed_target(path: str, **claims: object) -> str:
    sealed = Claims(path, **{"exp": end()} | claims)
    return "/" + jwe.seal(sealed, (bytes.fromhex(TEST_JWE_KEY),))


FORMATS = {
    "api": Format(
        api_target, lambda path: "/" + encrypt(bytes.fromhex(TEST_KEY), path.encode())
    ),
    "sealed": Format(
        sealed_target,
        lambda path: (
            "/"
            + encrypt_claims(bytes.fromhex(TEST_JWE_KEY), {"path": path, "exp": end()})
        ),
    ),
}


@pytest.fixture(params=FORMATS)
def format_(request: pytest.FixtureRequest) -> Format:
    return FORMATS[request.param]


@pytest.fixture
def target_of(format_: Format) -> Targets:
    return format_.target_of


@pytest.fixture
def unchecked(format_: Format) -> Targets:
    return format_.unchecked


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


def private(path: Path, key: str) -> Path:
    path.touch(0o600)
    path.write_text(key + "\n")
    return path


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
    files = {name: f"/nonexistent/{name}" for name in box.KEY_FILES}
    monkeypatch.setattr(box, "KEY_FILES", files)
    monkeypatch.setattr(box, "SETTINGS", "/nonexistent/settings")
