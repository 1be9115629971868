"""The API's token format: AES-256-ECB over the NUL-padded path, then base64url."""

from collections.abc import Callable

from Crypto.Cipher import AES

from ..errors import NotCanonical, NotUtf8, NotWholeBlocks, PathTooLong, Refused
from . import base64url
from .keys import Keyring
from .paths import PATH_MAX, check_path

BLOCK_BYTES = 16
# characters: a path of PATH_MAX bytes, its NUL padding, base64url and its own padding
TOKEN_MAX = -(-(PATH_MAX + 1) // 3) * 4


def seal(path: str, keyring: Keyring) -> str:
    """Return the token for `path`, made with the first key, padded with `=`.

    Raises a Refused when no box would serve `path`.
    """
    # a shell argument that is not UTF-8 arrives with its bytes escaped as surrogates
    raw = path.encode("utf-8", "surrogateescape")
    check_path(raw)
    padded = raw + bytes(-len(raw) % BLOCK_BYTES)
    sealed = AES.new(keyring[0], AES.MODE_ECB).encrypt(padded)
    return _padded(base64url.encode(sealed))


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


def _decode(token: str) -> bytes:
    if len(token) > TOKEN_MAX:
        raise PathTooLong
    bare = token.rstrip("=")
    sealed = base64url.decode(bare)
    if token not in (bare, _padded(bare)):
        raise NotCanonical
    if len(sealed) % BLOCK_BYTES:
        raise NotWholeBlocks
    return sealed


def _padded(text: str) -> str:
    return text + "=" * (-len(text) % 4)
