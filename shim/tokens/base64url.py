"""base64url without padding (RFC 4648, section 5; RFC 7515, appendix C), canonical only."""

import base64
import re

from ..errors import Reason, Refused

_ALPHABET = re.compile(r"[A-Za-z0-9_-]*")


def encode(raw: bytes) -> str:
    """Return `raw` in base64url."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """Return the bytes that `text` encodes.

    Raises Refused when it is not base64url, or not what encode() writes.
    """
    # Python's own decoder skips unknown characters
    if len(text) % 4 == 1 or not _ALPHABET.fullmatch(text):
        raise Refused(Reason.NOT_BASE64URL)
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode(raw) != text:
        raise Refused(Reason.NOT_CANONICAL)
    return raw
