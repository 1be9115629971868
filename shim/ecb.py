"""The API's token format: AES-256-ECB over the NUL-padded path, then base64url."""

import base64
import re
from collections.abc import Callable
from urllib.parse import unquote

from Crypto.Cipher import AES

from .errors import (
    NotBase64url,
    NotCanonical,
    NotUtf8,
    NotWholeBlocks,
    PathTooLong,
    Refused,
)
from .keys import Keyring
from .paths import PATH_MAX, check_path

BLOCK_BYTES = 16
# characters: a path of PATH_MAX bytes, its NUL padding, base64url and its own padding
TOKEN_MAX = -(-(PATH_MAX + 1) // 3) * 4

_BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}")


def seal(path: str, keyring: Keyring) -> str:
    """Return the token for `path`, made with the first key, padded with `=`.

    Raises a Refused when no box would serve `path`.
    """
    # a shell argument that is not UTF-8 arrives with its bytes escaped as surrogates
    raw = path.encode("utf-8", "surrogateescape")
    check_path(raw)
    padded = raw + bytes(-len(raw) % BLOCK_BYTES)
    sealed = AES.new(keyring[0], AES.MODE_ECB).encrypt(padded)
    return base64.urlsafe_b64encode(sealed).decode("ascii")


def opener(keyring: Keyring) -> Callable[[str], str]:
    """Return a function that opens a token made with any key of `keyring`.

    It takes the token, with or without its `=`, returns the path as it was sealed and
    raises a Refused, and nothing else, when the token does not open.
    """
    # kept, because making one costs twice as much as a decryption
    ciphers = [AES.new(key, AES.MODE_ECB) for key in keyring]

    def open_token(token: str) -> str:
        sealed = _decode(token)
        refused: Refused = NotUtf8()
        for cipher in ciphers:
            try:
                return check_path(cipher.decrypt(sealed).rstrip(b"\0"))
            except NotUtf8:
                continue  # the mark of another key
            except Refused as error:
                refused = error
        raise refused

    return open_token


def token_of(link: str) -> str:
    """Return the token of a whole link: its last segment, without query and fragment.

    A bare token is returned as it is.
    """
    return unquote(re.split(r"[?#]", link, maxsplit=1)[0].rpartition("/")[2])


def _decode(token: str) -> bytes:
    if len(token) > TOKEN_MAX:
        raise PathTooLong
    if not _BASE64URL.fullmatch(token):
        raise NotBase64url
    bare = token.rstrip("=")
    if len(bare) % 4 == 1:
        raise NotBase64url
    sealed = base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    canonical = base64.urlsafe_b64encode(sealed).decode("ascii")
    if token not in (canonical, canonical.rstrip("=")):
        raise NotCanonical
    if len(sealed) % BLOCK_BYTES:
        raise NotWholeBlocks
    return sealed
