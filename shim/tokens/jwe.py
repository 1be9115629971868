"""Sealed tokens: JWE compact serialization with alg dir and enc A256GCM, over JWT claims.

Source: RFC 7516 section 7.1, RFC 7518 sections 4.5 and 5.3, RFC 7519.
"""

import secrets
from collections.abc import Callable

from Crypto.Cipher import AES
from Crypto.Cipher._mode_gcm import GcmMode

from ..errors import BadHeader, NotAuthentic, NotCompact, TokenTooLong
from . import base64url
from .claims import Claims, check_claims, parse_claims, parse_object, write_claims
from .keys import Keyring

# characters: nginx takes a request line of 8 kB (large_client_header_buffers)
TOKEN_MAX = 8000
IV_BYTES = 12
TAG_BYTES = 16

_HEADER = base64url.encode(b'{"alg":"dir","enc":"A256GCM"}')


def seal(claims: Claims, keyring: Keyring) -> str:
    """Return a token for `claims`, made with the first key.

    Raises a Refused when no box would ever open it.
    """
    check_claims(claims)
    iv = secrets.token_bytes(IV_BYTES)
    cipher = _cipher(keyring[0], _HEADER, iv)
    sealed, tag = cipher.encrypt_and_digest(write_claims(claims))
    token = ".".join([_HEADER, "", *map(base64url.encode, (iv, sealed, tag))])
    if len(token) > TOKEN_MAX:
        raise TokenTooLong
    return token


def opener(keyring: Keyring) -> Callable[[str], Claims]:
    """Return a function that opens a token sealed with any key of `keyring`.

    It returns the claims, whatever their times are (check_times), and raises a Refused,
    and nothing else, when the token does not open.
    """

    def open_token(token: str) -> Claims:
        if len(token) > TOKEN_MAX:
            raise TokenTooLong
        parts = token.split(".")
        # dir has no encrypted key (RFC 7518, section 4.5)
        if len(parts) != 5 or parts[1]:
            raise NotCompact
        header, _, *rest = parts
        _check_header(base64url.decode(header))
        iv, sealed, tag = map(base64url.decode, rest)
        if len(iv) != IV_BYTES or len(tag) != TAG_BYTES:
            raise NotCompact
        return parse_claims(_decrypt(keyring, header, iv, sealed, tag))

    return open_token


def _decrypt(
    keyring: Keyring, header: str, iv: bytes, sealed: bytes, tag: bytes
) -> bytes:
    for key in keyring:
        # one cipher object a message: pycryptodome's GCM cannot start again
        cipher = _cipher(key, header, iv)
        try:
            return cipher.decrypt_and_verify(sealed, tag)
        except ValueError:
            continue  # another key, or a changed token
    raise NotAuthentic


def _cipher(key: bytes, header: str, iv: bytes) -> GcmMode:
    cipher = AES.new(key, AES.MODE_GCM, nonce=iv, mac_len=TAG_BYTES)
    cipher.update(header.encode("ascii"))
    return cipher


def _check_header(raw: bytes) -> None:
    """Raise BadHeader unless `raw` names the two algorithms and changes nothing else.

    Of what a header can hold besides (RFC 7516 section 4.1), typ and kid are hints;
    zip, crit and all the rest would ask for more than is done here.
    """
    try:
        header = parse_object(raw)
    except ValueError:
        raise BadHeader from None
    if header.pop("typ", "JWT") != "JWT" or not isinstance(header.pop("kid", ""), str):
        raise BadHeader
    if header != {"alg": "dir", "enc": "A256GCM"}:
        raise BadHeader
