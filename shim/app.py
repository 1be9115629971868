"""The one route: token in, X-Accel-Redirect out; what is logged; nothing else."""

import math
import os
import time
from typing import TYPE_CHECKING

from flask import Flask, Response, request
from werkzeug.datastructures import Headers

from .errors import Expired, Refused
from .tokens import reader
from .tokens.claims import check_times
from .tokens.keys import load_keyrings
from .tokens.paths import (
    accel_redirect,
    content_disposition,
    parse_disposition,
    parse_internal_prefix,
    parse_path_prefix,
    plain_record,
    record_name,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class Opened(Response):
    """An answer without a body, whose headers are complete as they are given."""

    # nginx would keep Flask's text/html for the recording
    default_mimetype = None

    def get_wsgi_headers(self, environ: "WSGIEnvironment") -> Headers:
        """Return the headers, without the copy that costs more than opening a token."""
        return self.headers


def create_app() -> Flask:
    """Return the endpoint, configured from the environment (README, "Settings").

    Raises Misconfigured when a setting or a key file is wrong.
    """
    environ = os.environ
    keyrings = load_keyrings(environ)
    read = reader(keyrings)
    internal_prefix = parse_internal_prefix(environ.get("SHIM_INTERNAL_PREFIX", ""))
    path_prefix = parse_path_prefix(environ.get("SHIM_PATH_PREFIX", ""))
    disposition = parse_disposition(environ.get("SHIM_DISPOSITION") or "attachment")

    app = Flask("shim", static_folder=None)
    app.logger.setLevel("INFO")
    app.logger.info("%s", keyrings)

    @app.get("/<token>", provide_automatic_options=False)
    def redirect(token: str) -> Response:
        now = time.time()
        try:
            claims = read(token)
            record = record_name(claims.path, path_prefix)
            check_times(claims, now)
        except Refused as refused:
            request_id = request.headers.get("X-Request-Id", "-")
            app.logger.warning("refused: %s, request %s", refused, request_id)
            # what nginx's auth_request knows; the client gets a 410 or a 404
            return Response(status=401 if isinstance(refused, Expired) else 403)
        name = claims.filename or record.rpartition("/")[2]
        headers = {
            "Content-Length": "0",
            "X-Accel-Redirect": accel_redirect(record, internal_prefix),
            # for nginx's cached form, which cannot decode the one above
            "X-Record": plain_record(record),
            # under their own names, because nginx keeps a Content-Disposition that
            # comes with X-Accel-Redirect on the 404 of a missing file, which gives
            # the name away
            "X-Record-Disposition": content_disposition(
                name, claims.disposition or disposition
            ),
        }
        if claims.exp is not None:
            # set by nginx's cached form
            seconds = int(request.headers.get("X-Cache-Seconds", 0))
            until, max_age = lifetime(claims.exp, now, seconds)
            # goes behind the `private` that nginx says of every recording
            headers["X-Record-Max-Age"] = f", max-age={max_age}"
            headers["X-Accel-Expires"] = f"@{until}"
        return Opened(headers=headers)

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        # Flask's own handler logs the URL, which holds the token
        request_id = request.headers.get("X-Request-Id", "-")
        app.logger.error("failed: %s, request %s", type(error).__name__, request_id)
        return Response(status=getattr(error, "code", None) or 500)

    return app


def lifetime(exp: float, now: float, cache_seconds: int) -> tuple[int, int]:
    """Return until when nginx may give the same answer again, and for how long a client.

    `exp` and `now` are in seconds since 1970; so is the first of what is returned, the
    second is a max-age in seconds. nginx gives what it keeps up to `cache_seconds` from
    now, to the end of the second that X-Accel-Expires names (nginx 1.22,
    ngx_http_file_cache_read), and a client may get it as late as that.
    """
    last = math.floor(exp) - 1
    until = min(last, math.floor(now) + cache_seconds)
    return until, last - until
