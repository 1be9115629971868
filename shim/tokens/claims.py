"""What a token says: the path of the record and, in a JWE token, when it expires.

The claims of a JWE token are those of a JSON Web Token (RFC 7519).
"""

import json
import time
from typing import NamedTuple, TypeAlias

from ..errors import Reason, Refused
from .paths import check_path

# the end of the year 9999
TIME_MAX = 253_402_300_799

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"


class Claims(NamedTuple):
    """The content of a token. Times are in seconds since 1970 (NumericDate, section 2).

    An ECB token has a path and nothing else, so it never expires.
    """

    path: str
    exp: float | None = None
    nbf: float | None = None
    filename: str | None = None
    disposition: str | None = None


def parse_claims(raw: bytes) -> Claims:
    """Return the claims in the JSON text `raw`, checked except for their times.

    Unknown claims are ignored (section 4). Raises Refused.
    """
    try:
        members = parse_object(raw)
    except ValueError:
        raise _bad_claim("they must be a JSON object without duplicate names") from None
    if "aud" in members:
        # section 4.1.3: who is not named in it must refuse the token, and a box has no name
        raise _bad_claim("aud is not supported")
    path = _string(members, "path")
    if path is None:
        raise _bad_claim("path is missing")
    return check_claims(
        Claims(
            path,
            exp=_number(members, "exp"),
            nbf=_number(members, "nbf"),
            filename=_string(members, "filename"),
            disposition=_string(members, "disposition"),
        )
    )


def write_claims(claims: Claims) -> bytes:
    """Return `claims` as a JSON text, without those that are None."""
    members = {
        key: value for key, value in claims._asdict().items() if value is not None
    }
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()


def check_claims(claims: Claims) -> Claims:
    """Return `claims` if they can be sealed; raises Refused."""
    check_path(_utf8(claims.path))
    if claims.exp is None:
        raise _bad_claim("exp is missing")
    for name, seconds in (("exp", claims.exp), ("nbf", claims.nbf)):
        if seconds is not None and not 0 <= seconds <= TIME_MAX:
            raise _bad_claim(f"{name} must be a number of seconds since 1970")
    if claims.filename is not None:
        _check_filename(claims.filename)
    if claims.disposition not in (None, "attachment", "inline"):
        raise _bad_claim("disposition must be attachment or inline")
    return claims


def check_times(claims: Claims, now: float) -> None:
    """Raise Refused unless the token is valid at `now`, in seconds since 1970.

    It is valid from nbf on and until just before exp (sections 4.1.4 and 4.1.5).
    """
    if claims.nbf is not None and now < claims.nbf:
        raise Refused(Reason.NOT_YET_VALID, utc(claims.nbf))
    if claims.exp is not None and now >= claims.exp:
        raise Refused(Reason.EXPIRED, utc(claims.exp))


def parse_object(raw: bytes) -> dict[str, Json]:
    """Return the JSON object in the UTF-8 text `raw`; raises ValueError.

    A duplicate name is an error, because readers differ in which one counts.
    """
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004
    return value


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate name")
    return members


def _string(members: dict[str, Json], name: str) -> str | None:
    value = members.get(name)
    if name in members and not isinstance(value, str):
        raise _bad_claim(f"{name} must be a string")
    return value if isinstance(value, str) else None


def _number(members: dict[str, Json], name: str) -> float | None:
    value = members.get(name)
    # bool is an int
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if name in members and not is_number:
        raise _bad_claim(f"{name} must be a number of seconds since 1970")
    return value if isinstance(value, int | float) else None


def _check_filename(filename: str) -> None:
    try:
        check_path(_utf8(filename))
    except Refused:
        valid = False
    else:
        valid = "/" not in filename
    if not valid:
        raise _bad_claim(
            "filename must be at most 255 bytes of UTF-8, without slashes and control"
            " characters, and must not start with a dot"
        )


def _utf8(text: str) -> bytes:
    """Return `text` as bytes, which are not UTF-8 when it contains lone surrogates.

    JSON can contain them (RFC 8259, section 8.2), and so can a shell argument.
    """
    return text.encode("utf-8", "surrogatepass")


def utc(seconds: float) -> str:
    """Return a time in seconds since 1970 in UTC (RFC 3339)."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _bad_claim(problem: str) -> Refused:
    return Refused(Reason.BAD_CLAIM, problem)
