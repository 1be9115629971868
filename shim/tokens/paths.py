"""Which paths may be served, and which records they name."""

import re

from ..errors import Reason, Refused

PATH_MAX = 4095  # bytes: Linux's 4096 includes the final NUL
NAME_MAX = 255  # bytes

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def check_path(raw: bytes) -> str:
    """Return the path that `raw` encodes in UTF-8, unchanged, if it may be served.

    Raises Refused.
    """
    try:
        path = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(Reason.NOT_UTF8) from None
    if _CONTROL.search(path):
        raise Refused(Reason.CONTROL_CHARACTER)
    if not path.strip("/"):
        raise Refused(Reason.EMPTY_PATH)
    if path.endswith("/"):
        raise Refused(Reason.DIRECTORY)
    if len(raw) > PATH_MAX:
        raise Refused(Reason.PATH_TOO_LONG)
    for segment in raw.split(b"/"):
        if segment.startswith(b"."):
            raise Refused(Reason.DOT_SEGMENT)
        if len(segment) > NAME_MAX:
            raise Refused(Reason.SEGMENT_TOO_LONG)
    return path


def record_name(path: str, path_prefix: str = "") -> str:
    """Return the name of the record at a checked `path`, relative to the records directory.

    It has no leading slash, no empty segments and no `path_prefix`. Raises Refused when
    `path` is not below `path_prefix`.
    """
    segments = _segments(path)
    prefix = _segments(path_prefix)
    if segments[: len(prefix)] != prefix or len(segments) == len(prefix):
        raise Refused(Reason.OUTSIDE_PREFIX)
    return "/".join(segments[len(prefix) :])


def _segments(path: str) -> list[str]:
    return [segment for segment in path.split("/") if segment]
