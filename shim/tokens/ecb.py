"""ECB tokens, the PBX's own format: AES-256-ECB over the NUL-padded path, then base64url."""

from collections.abc import Callable

from Crypto.Cipher import AES

from ..errors import Reason, Refused
from . import base64url
from .keys import Keyring
from .paths import PATH_MAX, check_path

BLOCK_BYTES = 16
# characters: a path of PATH_MAX bytes, its NUL padding, base64url and its own padding
TOKEN_MAX = -(-(PATH_MAX + 1) // 3) * 4


def seal(path: str, keyring: Keyring) -> str:
    """Return the token for `path`, made with the first key and padded with `=`.

    Raises Refused when no box would serve `path`.
    """
    # a shell argument that is not UTF-8 arrives with its bytes escaped as surrogates
    raw = path.encode("utf-8", "surrogateescape")
    check_path(raw)
    padded = raw + bytes(-len(raw) % BLOCK_BYTES)
    ciphertext = AES.new(keyring[0], AES.MODE_ECB).encrypt(padded)
    return _padded(base64url.encode(ciphertext))


def opener(keyring: Keyring) -> Callable[[str], str]:
    """Return a function that opens a token made with any key of `keyring`.

    It takes a token with or without its `=` and returns the path as it was sealed. When
    the token does not open, it raises Refused and nothing else.
    """
    # made once, because making a cipher costs twice as much as a decryption
    ciphers = [AES.new(key, AES.MODE_ECB) for key in keyring]

    def open_token(token: str) -> str:
        ciphertext = _decode(token)
        refused = Refused(Reason.WRONG_KEY)
        for cipher in ciphers:
            try:
                return check_path(cipher.decrypt(ciphertext).rstrip(b"\0"))
            except Refused as error:
                # the wrong key yields random bytes, which are hardly ever UTF-8
                if error.reason is not Reason.NOT_UTF8:
                    refused = error
        raise refused

    return open_token


def _decode(token: str) -> bytes:
    if len(token) > TOKEN_MAX:
        raise Refused(Reason.PATH_TOO_LONG)
    bare = token.rstrip("=")
    ciphertext = base64url.decode(bare)
    if token not in (bare, _padded(bare)):
        raise Refused(Reason.NOT_CANONICAL)
    if len(ciphertext) % BLOCK_BYTES:
        raise Refused(Reason.NOT_WHOLE_BLOCKS)
    return ciphertext


def _padded(text: str) -> str:
    return text + "=" * (-len(text) % 4)
