"""Which decrypted paths may be served, and how a path is written for nginx."""

import re
from urllib.parse import quote

from ..errors import (
    ControlCharacter,
    Directory,
    DotSegment,
    Empty,
    Misconfigured,
    NotUtf8,
    OutsidePrefix,
    PathTooLong,
    SegmentTooLong,
)

PATH_MAX = 4095  # bytes: Linux's 4096 counts the final NUL
NAME_MAX = 255  # bytes
DEFAULT_INTERNAL_PREFIX = "/_records/"

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_INTERNAL_PREFIX = re.compile(r"/(?:[A-Za-z0-9_~-][A-Za-z0-9._~-]*/)+")
_NOT_IN_QUOTED_STRING = re.compile(r'[^ -~]|["\\%]')


def check_path(raw: bytes) -> str:
    """Return the path that `raw` spells in UTF-8, unchanged, if it may be served.

    Raises the Refused that says why not.
    """
    try:
        path = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise NotUtf8 from None
    if _CONTROL.search(path):
        raise ControlCharacter
    if not path.strip("/"):
        raise Empty
    if path.endswith("/"):
        raise Directory
    if len(raw) > PATH_MAX:
        raise PathTooLong
    for segment in raw.split(b"/"):
        if segment.startswith(b"."):
            raise DotSegment
        if len(segment) > NAME_MAX:
            raise SegmentTooLong
    return path


def record_name(path: str, path_prefix: str = "") -> str:
    """Return where a checked `path` lies in the records directory: no slash in front,
    no empty segments, and without `path_prefix`.

    Raises OutsidePrefix when `path` does not lie below `path_prefix`.
    """
    segments = _segments(path)
    prefix = _segments(path_prefix)
    if segments[: len(prefix)] != prefix or len(segments) == len(prefix):
        raise OutsidePrefix
    return "/".join(segments[len(prefix) :])


def accel_redirect(record: str, internal_prefix: str) -> str:
    """Return the X-Accel-Redirect value for `record`.

    nginx percent-decodes the value once, so every byte outside RFC 3986's unreserved
    set is quoted.
    """
    return internal_prefix + quote(record)


def plain_record(record: str) -> str:
    """Return `record` between slashes, its UTF-8 bytes as WSGI writes bytes (PEP 3333).

    The last slash is there because a header cannot end with a blank, and a name can.
    """
    return f"/{record}/".encode().decode("latin-1")


def content_disposition(name: str, disposition: str) -> str:
    """Return the Content-Disposition value under which a file is called `name`.

    `filename` is ASCII without quotes, backslashes and percent signs, which browsers
    read differently; where that changes the name, `filename*` (RFC 8187) has it whole.
    Source: RFC 6266, section 4 and appendix D.
    """
    plain = _NOT_IN_QUOTED_STRING.sub("_", name)
    options = {"filename": f'"{plain}"'}
    if plain != name:
        options["filename*"] = "UTF-8''" + quote(name, safe="")
    return "; ".join([disposition, *(f"{key}={text}" for key, text in options.items())])


def parse_internal_prefix(text: str) -> str:
    """Return SHIM_INTERNAL_PREFIX if it can name an nginx location; empty is the default.

    Raises Misconfigured.
    """
    text = text or DEFAULT_INTERNAL_PREFIX
    if not _INTERNAL_PREFIX.fullmatch(text):
        raise Misconfigured(
            "SHIM_INTERNAL_PREFIX must be a path that starts and ends with a slash,"
            " of letters, digits, '.', '_', '~' and '-', such as /_records/"
        )
    return text


def parse_path_prefix(text: str) -> str:
    """Return SHIM_PATH_PREFIX if paths can start with it; raises Misconfigured."""
    segments = _segments(text)
    if _CONTROL.search(text) or any(name.startswith(".") for name in segments):
        raise Misconfigured(
            "SHIM_PATH_PREFIX must be a path without dot segments and control"
            " characters, such as /var/spool/records"
        )
    return text


def parse_disposition(text: str) -> str:
    """Return SHIM_DISPOSITION if it is one that is known; raises Misconfigured."""
    if text not in ("attachment", "inline"):
        raise Misconfigured("SHIM_DISPOSITION must be attachment or inline")
    return text


def _segments(path: str) -> list[str]:
    return [segment for segment in path.split("/") if segment]
