"""Tokens of either format: which one it is, and what it says."""

import re
from collections.abc import Callable
from urllib.parse import unquote

from ..errors import NoApiKey, NoJweKey
from . import ecb, jwe
from .claims import Claims
from .keys import Keyrings

# what comes along when a link is copied out of a mail
PASTED = " \t\r\n<>"


def is_sealed(token: str) -> bool:
    """Return whether `token` is meant as a sealed one, not as one of the API's format."""
    # the parts of a JWE are joined with dots, and base64url has none
    return "." in token


def reader(keyrings: Keyrings) -> Callable[[str], Claims]:
    """Return a function that opens tokens of the formats that have a key.

    It returns the claims, whatever their times are (check_times), and raises a Refused,
    and nothing else, when the token does not open.
    """
    open_api, open_sealed = ecb.opener(keyrings.api), jwe.opener(keyrings.jwe)

    def read(token: str) -> Claims:
        if is_sealed(token):
            if not keyrings.jwe:
                raise NoJweKey
            return open_sealed(token)
        if not keyrings.api:
            raise NoApiKey
        return Claims(open_api(token))

    return read


def token_of(link: str) -> str:
    """Return the token of a whole link: its last segment, without query and fragment.

    A bare token is returned as it is. What is PASTED around it does not count.
    """
    bare = re.split(r"[?#]", link.strip(PASTED), maxsplit=1)[0]
    return unquote(bare.rpartition("/")[2])
