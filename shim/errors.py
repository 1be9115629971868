"""Why a token is refused, one class a reason, and what is wrong with the configuration."""

import time


class Refused(Exception):
    """A token that does not open, or a path that may not be served.

    `str()` gives the reason; it never holds the token or the path, so that it may be
    logged.
    """

    reason = "refused"

    def __str__(self) -> str:
        return self.reason


class NotBase64url(Refused):
    reason = "not base64url (RFC 4648 section 5)"


class NotCanonical(Refused):
    reason = "base64url is not canonical: wrong padding, or unused bits are set"


class NotWholeBlocks(Refused):
    reason = "not a whole number of 16-byte blocks"


class NotUtf8(Refused):
    reason = "path is not UTF-8 (so is what another key makes of a token)"


class ControlCharacter(Refused):
    reason = "path holds a NUL or another control character"


class Empty(Refused):
    reason = "path is empty"


class Directory(Refused):
    reason = "path ends with a slash: a directory"


class DotSegment(Refused):
    reason = "path has a segment that starts with a dot"


class PathTooLong(Refused):
    reason = "path is longer than PATH_MAX"


class SegmentTooLong(Refused):
    reason = "path has a segment longer than NAME_MAX"


class OutsidePrefix(Refused):
    reason = "path is not below SHIM_PATH_PREFIX"


class TokenTooLong(Refused):
    reason = "token is longer than a request line may be"


class NoApiKey(Refused):
    reason = "token of the API's format, and there is no key for that format"


class NoJweKey(Refused):
    reason = "sealed token, and there is no key for sealed links"


class NotCompact(Refused):
    reason = "not a JWE in compact serialization for alg dir (RFC 7516 section 7.1)"


class BadHeader(Refused):
    reason = 'JWE header is not {"alg":"dir","enc":"A256GCM"}'


class NotAuthentic(Refused):
    reason = "not sealed with one of the keys, or changed since"


class BadClaim(Refused):
    """A claim (RFC 7519) that is missing, or not what it should be."""

    reason = "a claim is wrong"

    def __init__(self, claim: str, problem: str) -> None:
        self.reason = f"claim {claim}: {problem}"


class NotYetValid(Refused):
    """A token before its time; `nbf` is in seconds since 1970."""

    reason = "not valid yet"

    def __init__(self, nbf: float) -> None:
        self.reason = f"not valid before {utc(nbf)}"


class Expired(Refused):
    """A token that is sound, but over; `exp` is in seconds since 1970."""

    reason = "expired"

    def __init__(self, exp: float) -> None:
        self.reason = f"expired since {utc(exp)}"


def utc(seconds: float) -> str:
    """Return a time in seconds since 1970 as RFC 3339 writes it, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class Misconfigured(RuntimeError):
    """What an operator has to put right: one line, what is wrong, where, what to do.

    A RuntimeError because gunicorn reports one raised while it loads an application as
    a line and exit status 1, not as a traceback.
    """
