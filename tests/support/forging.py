"""Tokens with any content, and every way to change one without its key."""

import base64
import itertools
import json
import secrets
from collections.abc import Iterator

from Crypto.Cipher import AES

HEADER = {"alg": "dir", "enc": "A256GCM"}


def encrypt(key: bytes, plaintext: bytes) -> str:
    """Return an ECB token of any plaintext, without checks."""
    padded = plaintext + bytes(-len(plaintext) % 16)
    return base64.urlsafe_b64encode(AES.new(key, AES.MODE_ECB).encrypt(padded)).decode()


def encrypt_claims(
    key: bytes, claims: object, header: object = HEADER, iv_bytes: int = 12
) -> str:
    """Return a JWE token of `claims`: bytes unchanged, everything else as JSON."""
    protected = base64url(_json(header))
    cipher = AES.new(key, AES.MODE_GCM, nonce=secrets.token_bytes(iv_bytes))
    cipher.update(protected.encode())
    ciphertext, tag = cipher.encrypt_and_digest(_json(claims))
    parts = map(base64url, (b"", cipher.nonce, ciphertext, tag))
    return ".".join([protected, *parts])


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def raw_parts(token: str) -> list[bytes]:
    return [base64.urlsafe_b64decode(x + "=" * (-len(x) % 4)) for x in token.split(".")]


def bits_of_the_text(token: str) -> Iterator[str]:
    """Yield `token` with each bit of each of its characters changed."""
    for at, bit in itertools.product(range(len(token)), range(8)):
        yield token[:at] + chr(ord(token[at]) ^ 1 << bit) + token[at + 1 :]


def bits_of_the_parts(token: str) -> Iterator[str]:
    """Yield a JWE `token` with each bit of its decoded parts flipped."""
    parts = raw_parts(token)
    for number, part in enumerate(parts):
        for at, bit in itertools.product(range(len(part)), range(8)):
            changed = bytearray(part)
            changed[at] ^= 1 << bit
            yield ".".join(
                map(base64url, [*parts[:number], bytes(changed), *parts[number + 1 :]])
            )


def truncations(token: str) -> Iterator[str]:
    """Yield all that is left of `token` when its end, its front or a middle is missing."""
    for at in range(len(token)):
        yield token[:at]
        yield token[at + 1 :]
        yield token[:at] + token[at + 1 :]


def swaps(one: str, other: str) -> Iterator[str]:
    """Yield every other combination of the parts of two JWE tokens."""
    pairs = zip(one.split("."), other.split("."), strict=True)
    for choice in itertools.product(*pairs):
        mixture = ".".join(choice)
        if mixture not in (one, other):
            yield mixture


def _json(value: object) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()
