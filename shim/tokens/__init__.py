"""Tokens of both formats: which format one has, and what it says."""

import re
from collections.abc import Callable
from urllib.parse import unquote

from ..errors import Reason, Refused
from . import ecb, jwe
from .claims import Claims
from .keys import Keyrings

# what is copied along with a link out of an e-mail
PASTED = " \t\r\n<>"


def is_jwe(token: str) -> bool:
    """Return whether `token` is meant to be a JWE token, not an ECB token."""
    # dots join the parts of a JWE, and base64url has none
    return "." in token


def opener(keyrings: Keyrings) -> Callable[[str], Claims]:
    """Return a function that opens tokens of the formats that have a key.

    It returns the claims without comparing their times with the clock (check_times). When
    the token does not open, it raises Refused and nothing else.
    """
    open_ecb, open_jwe = ecb.opener(keyrings.ecb), jwe.opener(keyrings.jwe)

    def open_token(token: str) -> Claims:
        if is_jwe(token):
            if not keyrings.jwe:
                raise Refused(Reason.NO_JWE_KEY)
            return open_jwe(token)
        if not keyrings.ecb:
            raise Refused(Reason.NO_ECB_KEY)
        return Claims(open_ecb(token))

    return open_token


def token_of(link: str) -> str:
    """Return the token of a link: its last segment without query and fragment.

    A bare token is returned unchanged. PASTED characters around it are removed.
    """
    bare = re.split(r"[?#]", link.strip(PASTED), maxsplit=1)[0]
    return unquote(bare.rpartition("/")[2])
