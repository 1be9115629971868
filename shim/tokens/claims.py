"""What a token says: the record's path and, in a sealed one, its end and its file name.

The claims of a sealed token are a JSON Web Token's (RFC 7519).
"""

import json
from typing import Any, NamedTuple

from ..errors import BadClaim, Expired, NotYetValid, Refused
from .paths import check_path

# the end of the year 9999
TIME_MAX = 253_402_300_799


class Claims(NamedTuple):
    """A token's content. Times are in seconds since 1970 (NumericDate, section 2).

    A token of the API's format has a path and nothing else, so no end.
    """

    path: str
    exp: float | None = None
    nbf: float | None = None
    filename: str | None = None
    disposition: str | None = None


def parse_claims(raw: bytes) -> Claims:
    """Return the claims in the JSON text `raw`, all of them checked but for the time.

    Claims that this does not know are ignored (section 4). Raises BadClaim, or what
    check_path() raises for the path.
    """
    try:
        members = parse_object(raw)
    except ValueError:
        raise BadClaim("set", "must be a JSON object, each name once") from None
    if "aud" in members:
        # section 4.1.3: whoever is not in it must refuse the token
        raise BadClaim("aud", "is for somebody else: a box has no name of its own")
    known = {name: members[name] for name in Claims._fields if name in members}
    for name, value in known.items():
        if value is None:
            raise BadClaim(name, "must not be null")
    return check_claims(Claims(**{"path": None, **known}))


def write_claims(claims: Claims) -> bytes:
    """Return `claims` as a JSON text, those that are None left out."""
    members = {
        key: value for key, value in claims._asdict().items() if value is not None
    }
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()


def check_claims(claims: Claims) -> Claims:
    """Return `claims` if they can be sealed; raises as parse_claims() does."""
    _check_path_claim(claims.path)
    if claims.exp is None:
        raise BadClaim("exp", "is missing: a sealed link has an end")
    for claim, time in (("exp", claims.exp), ("nbf", claims.nbf)):
        # bool is an int
        if time is not None and (
            type(time) not in (int, float) or not 0 <= time <= TIME_MAX
        ):
            raise BadClaim(claim, "must be a number of seconds since 1970")
    if claims.filename is not None:
        _check_filename(claims.filename)
    if claims.disposition not in (None, "attachment", "inline"):
        raise BadClaim("disposition", "must be attachment or inline")
    return claims


def check_times(claims: Claims, now: float) -> None:
    """Raise Expired or NotYetValid unless `now`, in seconds since 1970, is in between.

    A token is valid from nbf on, and not at exp any more (sections 4.1.4 and 4.1.5).
    """
    if claims.nbf is not None and now < claims.nbf:
        raise NotYetValid(claims.nbf)
    if claims.exp is not None and now >= claims.exp:
        raise Expired(claims.exp)


def parse_object(raw: bytes) -> dict[str, Any]:
    """Return the JSON object that `raw` writes in UTF-8; raises ValueError.

    A name that is there twice is an error: readers differ in which one counts.
    """
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name is there twice")
    return members


def _check_path_claim(path: object) -> None:
    if not isinstance(path, str):
        raise BadClaim("path", "must be there, and a string")
    check_path(_utf8(path))


def _check_filename(filename: object) -> None:
    try:
        if not isinstance(filename, str) or "/" in filename:
            raise Refused
        check_path(_utf8(filename))
    except Refused:
        raise BadClaim(
            "filename",
            "must be a file's name: at most 255 bytes of UTF-8, no slash, no control"
            " character, no dot in front",
        ) from None


def _utf8(text: str) -> bytes:
    """Return `text` as bytes, which are not UTF-8 where a half character is in it.

    JSON can write one (RFC 8259, section 8.2), and so can a shell argument.
    """
    return text.encode("utf-8", "surrogatepass")
