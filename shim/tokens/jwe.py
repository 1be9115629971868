"""JWE tokens: compact serialization with alg dir and enc A256GCM, over JWT claims.

Source: RFC 7516 section 7.1, RFC 7518 sections 4.5 and 5.3, RFC 7519.
"""

import secrets
from collections.abc import Callable

from Crypto.Cipher import AES
from Crypto.Cipher._mode_gcm import GcmMode

from ..errors import Reason, Refused
from . import base64url
from .claims import Claims, check_claims, parse_claims, parse_object, write_claims
from .keys import Keyring

# characters: nginx accepts a request line of 8 kB (large_client_header_buffers)
TOKEN_MAX = 8000
IV_BYTES = 12
TAG_BYTES = 16

_HEADER = base64url.encode(b'{"alg":"dir","enc":"A256GCM"}')


def seal(claims: Claims, keyring: Keyring) -> str:
    """Return a token for `claims`, made with the first key.

    Raises Refused when no box would ever open it.
    """
    check_claims(claims)
    iv = secrets.token_bytes(IV_BYTES)
    cipher = _cipher(keyring[0], _HEADER, iv)
    ciphertext, tag = cipher.encrypt_and_digest(write_claims(claims))
    token = ".".join([_HEADER, "", *map(base64url.encode, (iv, ciphertext, tag))])
    if len(token) > TOKEN_MAX:
        raise Refused(Reason.TOKEN_TOO_LONG)
    return token


def opener(keyring: Keyring) -> Callable[[str], Claims]:
    """Return a function that opens a token sealed with any key of `keyring`.

    It returns the claims without comparing their times with the clock (check_times). When
    the token does not open, it raises Refused and nothing else.
    """

    def open_token(token: str) -> Claims:
        if len(token) > TOKEN_MAX:
            raise Refused(Reason.TOKEN_TOO_LONG)
        parts = token.split(".")
        # with dir, the encrypted key is empty (RFC 7518, section 4.5)
        if len(parts) != 5 or parts[1]:
            raise Refused(Reason.NOT_COMPACT)
        header, _, *rest = parts
        _check_header(base64url.decode(header))
        iv, ciphertext, tag = map(base64url.decode, rest)
        if len(iv) != IV_BYTES or len(tag) != TAG_BYTES:
            raise Refused(Reason.NOT_COMPACT)
        return parse_claims(_decrypt(keyring, header, iv, ciphertext, tag))

    return open_token


def _decrypt(
    keyring: Keyring, header: str, iv: bytes, ciphertext: bytes, tag: bytes
) -> bytes:
    for key in keyring:
        # a cipher object for each message: pycryptodome's GCM cannot be reset
        cipher = _cipher(key, header, iv)
        try:
            return cipher.decrypt_and_verify(ciphertext, tag)
        except ValueError:
            continue  # another key, or an altered token
    raise Refused(Reason.NOT_AUTHENTIC)


def _cipher(key: bytes, header: str, iv: bytes) -> GcmMode:
    cipher = AES.new(key, AES.MODE_GCM, nonce=iv, mac_len=TAG_BYTES)
    cipher.update(header.encode("ascii"))
    return cipher


def _check_header(raw: bytes) -> None:
    """Raise Refused unless `raw` names the two algorithms and asks for nothing else.

    Of the other header parameters (RFC 7516, section 4.1), typ and kid are hints, so they
    are allowed. All others, such as zip and crit, ask for something that is not done here.
    """
    try:
        header = parse_object(raw)
    except ValueError:
        raise Refused(Reason.BAD_HEADER) from None
    if header.pop("typ", "JWT") != "JWT" or not isinstance(header.pop("kid", ""), str):
        raise Refused(Reason.BAD_HEADER)
    if header != {"alg": "dir", "enc": "A256GCM"}:
        raise Refused(Reason.BAD_HEADER)
