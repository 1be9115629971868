"""base64url without padding (RFC 4648, section 5; RFC 7515, appendix C), one way to write it."""

import base64
import re

from ..errors import NotBase64url, NotCanonical

_ALPHABET = re.compile(r"[A-Za-z0-9_-]*")


def encode(raw: bytes) -> str:
    """Return `raw` in base64url."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """Return the bytes that `text` writes.

    Raises NotBase64url, or NotCanonical when encode() would write them otherwise.
    """
    # Python's own decoder drops characters that it does not know
    if len(text) % 4 == 1 or not _ALPHABET.fullmatch(text):
        raise NotBase64url
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode(raw) != text:
        raise NotCanonical
    return raw
