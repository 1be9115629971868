"""Links of both formats, made with the test keys."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from shim.tokens import ecb, jwe
from shim.tokens.claims import Claims

from .forging import encrypt, encrypt_claims
from .recordings import VECTORS

# for tests only
TEST_KEY = VECTORS["key_hex"]
TEST_JWE_KEY = bytes(range(100, 132)).hex()

Targets = Callable[[str], str]


class Format(NamedTuple):
    """How a test makes the targets of links: as one should, and of any path at all."""

    target_of: Targets
    unchecked: Targets


def in_an_hour() -> int:
    return int(time.time()) + 3600


def ecb_target(path: str) -> str:
    return "/" + ecb.seal(path, (bytes.fromhex(TEST_KEY),))


def jwe_target(
    path: str,
    exp: float | None = None,
    nbf: float | None = None,
    filename: str | None = None,
    disposition: str | None = None,
) -> str:
    """Return the target of a JWE link, which expires in an hour if not at `exp`."""
    claims = Claims(path, exp or in_an_hour(), nbf, filename, disposition)
    return "/" + jwe.seal(claims, (bytes.fromhex(TEST_JWE_KEY),))


FORMATS = {
    "ecb": Format(
        ecb_target, lambda path: "/" + encrypt(bytes.fromhex(TEST_KEY), path.encode())
    ),
    "jwe": Format(
        jwe_target,
        lambda path: (
            "/"
            + encrypt_claims(
                bytes.fromhex(TEST_JWE_KEY), {"path": path, "exp": in_an_hour()}
            )
        ),
    ),
}


def private(path: Path, key: str) -> Path:
    """Write `key` to a key file that only its owner may read."""
    path.touch(0o600)
    path.write_text(key + "\n")
    return path
