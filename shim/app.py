"""The one route: token in, X-Accel-Redirect out; what is logged; nothing else."""

import os
from typing import TYPE_CHECKING

from flask import Flask, Response, request
from werkzeug.datastructures import Headers

from .ecb import opener
from .errors import Refused
from .keys import key_file, load_keyring
from .paths import (
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

    Raises Misconfigured when a setting or the key file is wrong.
    """
    environ = os.environ
    open_token = opener(load_keyring(key_file(environ)))
    internal_prefix = parse_internal_prefix(environ.get("SHIM_INTERNAL_PREFIX", ""))
    path_prefix = parse_path_prefix(environ.get("SHIM_PATH_PREFIX", ""))
    disposition = parse_disposition(environ.get("SHIM_DISPOSITION") or "attachment")

    app = Flask("shim", static_folder=None)

    @app.get("/<token>", provide_automatic_options=False)
    def redirect(token: str) -> Response:
        try:
            record = record_name(open_token(token), path_prefix)
        except Refused as refused:
            request_id = request.headers.get("X-Request-Id", "-")
            app.logger.warning("refused: %s, request %s", refused, request_id)
            # what nginx's auth_request knows; the client gets a 404
            return Response(status=403)
        return Opened(
            headers={
                "Content-Length": "0",
                "X-Accel-Redirect": accel_redirect(record, internal_prefix),
                # for nginx's cached form, which cannot decode the one above
                "X-Record": plain_record(record),
                # under its own name, because nginx keeps a Content-Disposition that
                # comes with X-Accel-Redirect on the 404 of a missing file, which gives
                # the name away
                "X-Record-Disposition": content_disposition(record, disposition),
            }
        )

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        # Flask's own handler logs the URL, which holds the token
        request_id = request.headers.get("X-Request-Id", "-")
        app.logger.error("failed: %s, request %s", type(error).__name__, request_id)
        return Response(status=getattr(error, "code", None) or 500)

    return app
