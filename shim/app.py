"""The endpoint: one route, token in, X-Accel-Redirect out."""

import math
import os
import time
from typing import TYPE_CHECKING
from wsgiref.util import setup_testing_defaults

from flask import Flask, Response, request
from werkzeug.datastructures import Headers

from .errors import Refused
from .tokens import ecb, jwe, opener
from .tokens.claims import Claims, check_times
from .tokens.keys import Keyrings, load_keyrings
from .tokens.paths import (
    accel_redirect,
    content_disposition,
    plain_record,
    record_name,
)
from .tokens.settings import load_settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# nginx's auth_request knows only 401 and 403; nginx turns them into these for the client
_STATUS_FOR_NGINX = {404: 403, 410: 401}


class Opened(Response):
    """An answer without a body whose headers are complete."""

    # nginx would pass on Flask's text/html as the type of the recording
    default_mimetype = None

    def get_wsgi_headers(self, environ: "WSGIEnvironment") -> Headers:
        """Return the headers without copying them, which would cost more than a token."""
        return self.headers


def create_app() -> Flask:
    """Return the endpoint, configured from the environment (docs/settings.md).

    It has opened a link of each configured format, so whatever Python imports late has
    been imported. gunicorn's workers may not be able to read this package: they are forked
    by root and then change their user. Raises Misconfigured when a setting or a key file
    is invalid.
    """
    keyrings = load_keyrings(os.environ)
    settings = load_settings(os.environ)
    open_token = opener(keyrings)

    app = Flask("shim", static_folder=None)
    app.logger.setLevel("INFO")
    app.logger.info("%s", keyrings)

    @app.get("/<token>", provide_automatic_options=False)
    def redirect(token: str) -> Response:
        now = time.time()
        try:
            claims = open_token(token)
            record = record_name(claims.path, settings.path_prefix)
            check_times(claims, now)
        except Refused as refused:
            app.logger.warning(
                "refused: code=%s request=%s: %s",
                refused.reason.code,
                request.headers.get("X-Request-Id", "-"),
                refused,
            )
            return Response(status=_STATUS_FOR_NGINX[refused.reason.status])
        name = claims.filename or record.rpartition("/")[2]
        headers = {
            "Content-Length": "0",
            "X-Accel-Redirect": accel_redirect(record, settings.internal_prefix),
            # for nginx's cached form, which cannot decode the one above
            "X-Record": plain_record(record),
            # not under its own name: nginx keeps a Content-Disposition that comes with
            # X-Accel-Redirect on the 404 of a missing file, where it would give away the
            # name
            "X-Record-Disposition": content_disposition(
                name, claims.disposition or settings.disposition
            ),
        }
        if claims.exp is not None:
            # nginx sends this in the cached form
            seconds = int(request.headers.get("X-Cache-Seconds", 0))
            until, max_age = lifetime(claims.exp, now, seconds)
            # nginx appends it to the `private` that every recording gets
            headers["X-Record-Max-Age"] = f", max-age={max_age}"
            headers["X-Accel-Expires"] = f"@{until}"
        return Opened(headers=headers)

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        # Flask's own handler logs the URL, which contains the token
        request_id = request.headers.get("X-Request-Id", "-")
        app.logger.error(
            "failed: error=%s request=%s", type(error).__name__, request_id
        )
        return Response(status=getattr(error, "code", None) or 500)

    _open_one_of_each(app, keyrings, settings.path_prefix)
    return app


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


def _open_one_of_each(app: Flask, keyrings: Keyrings, path_prefix: str) -> None:
    path = f"{path_prefix}/record"
    tokens = []
    if keyrings.ecb:
        tokens.append(ecb.seal(path, keyrings.ecb))
    if keyrings.jwe:
        tokens.append(jwe.seal(Claims(path, exp=time.time() + 60), keyrings.jwe))
    for token in tokens:
        environ: WSGIEnvironment = {"PATH_INFO": f"/{token}"}
        setup_testing_defaults(environ)
        with app.request_context(environ):
            app.full_dispatch_request()
