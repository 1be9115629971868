"""Why a token is refused, one class a reason, and what is wrong with the configuration."""


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


class Misconfigured(RuntimeError):
    """What an operator has to put right: one line, what is wrong, where, what to do.

    A RuntimeError because gunicorn reports one raised while it loads an application as
    a line and exit status 1, not as a traceback.
    """
