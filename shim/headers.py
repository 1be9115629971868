"""The headers with which the endpoint tells nginx what to serve, and how."""

import math
import re
from urllib.parse import quote

from .tokens.claims import Claims

_NOT_IN_QUOTED_STRING = re.compile(r'[^ -~]|["\\%]')


def headers_of(
    claims: Claims,
    record: str,
    *,
    internal_prefix: str,
    disposition: str,
    now: float,
    cache_seconds: int,
) -> dict[str, str]:
    """Return the headers for `record`, which `claims` lead to.

    `disposition` applies unless the claims override it. `now` is in seconds since 1970;
    nginx keeps the answer for `cache_seconds` at most.
    """
    name = claims.filename or record.rpartition("/")[2]
    headers = {
        "Content-Length": "0",
        "X-Accel-Redirect": accel_redirect(record, internal_prefix),
        # for nginx's cached form, which cannot decode the one above
        "X-Record": plain_record(record),
        # not under its own name: nginx keeps a Content-Disposition that comes with
        # X-Accel-Redirect on the 404 of a missing file, where it would reveal the name
        "X-Record-Disposition": content_disposition(
            name, claims.disposition or disposition
        ),
    }
    if claims.exp is not None:
        until, max_age = lifetime(claims.exp, now, cache_seconds)
        # nginx appends it to the `private` that every recording gets
        headers["X-Record-Max-Age"] = f", max-age={max_age}"
        headers["X-Accel-Expires"] = f"@{until}"
    return headers


def lifetime(exp: float, now: float, cache_seconds: int) -> tuple[int, int]:
    """Return until when nginx may repeat an answer, and how long a client may keep it.

    `exp`, `now` and the first result are in seconds since 1970; the second result is a
    max-age in seconds. nginx keeps an answer for `cache_seconds` from now at most, and
    serves it until the end of the second that X-Accel-Expires names (nginx 1.22,
    ngx_http_file_cache_read). A client may get it as late as that.
    """
    last = math.floor(exp) - 1
    until = min(last, math.floor(now) + cache_seconds)
    return until, last - until


def accel_redirect(record: str, internal_prefix: str) -> str:
    """Return the X-Accel-Redirect value for `record`.

    nginx percent-decodes the value once, so every byte outside RFC 3986's unreserved set
    is quoted.
    """
    return internal_prefix + quote(record)


def plain_record(record: str) -> str:
    """Return `record` between slashes, its UTF-8 bytes as a WSGI header (PEP 3333).

    It ends with a slash because a header value cannot end with a space, and a file name
    can.
    """
    return f"/{record}/".encode().decode("latin-1")


def content_disposition(name: str, disposition: str) -> str:
    """Return the Content-Disposition value that gives a file the name `name`.

    `filename` is ASCII without quotes, backslashes and percent signs, because browsers
    disagree about them. If that changes the name, `filename*` (RFC 8187) carries the
    original. Source: RFC 6266, section 4 and appendix D.
    """
    plain = _NOT_IN_QUOTED_STRING.sub("_", name)
    options = {"filename": f'"{plain}"'}
    if plain != name:
        options["filename*"] = "UTF-8''" + quote(name, safe="")
    return "; ".join([disposition, *(f"{key}={text}" for key, text in options.items())])
