"""The endpoint: one route, token in, X-Accel-Redirect out."""

import os
import time
from typing import TYPE_CHECKING
from wsgiref.util import setup_testing_defaults

from flask import Flask, Response, request
from werkzeug.datastructures import Headers

from .errors import Misconfigured, Refused
from .headers import headers_of
from .tokens import ecb, jwe, opener
from .tokens.claims import Claims, check_times
from .tokens.keys import Keyrings, load_keyrings
from .tokens.paths import record_name
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

    It has opened a link of each configured format, so that everything is imported before
    gunicorn forks. Its workers may not be able to read this package: root starts them,
    and then they change their user. Raises Misconfigured when a setting or a key file is
    invalid.
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
            reason, request_id = refused.reason, _request_id()
            app.logger.warning(
                "refused: code=%s request=%s: %s", reason.code, request_id, refused
            )
            return Response(status=_STATUS_FOR_NGINX[reason.status])
        headers = headers_of(
            claims,
            record,
            internal_prefix=settings.internal_prefix,
            disposition=settings.disposition,
            now=now,
            # nginx sends this in the cached form
            cache_seconds=int(request.headers.get("X-Cache-Seconds", 0)),
        )
        return Opened(headers=headers)

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        # Flask's own handler logs the URL, which contains the token
        name, request_id = type(error).__name__, _request_id()
        app.logger.error("failed: error=%s request=%s", name, request_id)
        return Response(status=getattr(error, "code", None) or 500)

    _open_one_of_each(app, keyrings, settings.path_prefix)
    return app


def _request_id() -> str:
    return request.headers.get("X-Request-Id", "-")


def _open_one_of_each(app: Flask, keyrings: Keyrings, path_prefix: str) -> None:
    path = f"{path_prefix}/record"
    tokens = []
    try:
        if keyrings.ecb:
            tokens.append(ecb.seal(path, keyrings.ecb))
        if keyrings.jwe:
            claims = Claims(path, exp=time.time() + 60)
            tokens.append(jwe.seal(claims, keyrings.jwe))
    except Refused as refused:
        raise Misconfigured(
            f"SHIM_PATH_PREFIX: no link can be made with it: {refused}",
            "use a shorter path",
        ) from None
    for token in tokens:
        environ: WSGIEnvironment = {"PATH_INFO": f"/{token}"}
        setup_testing_defaults(environ)
        with app.request_context(environ):
            if app.full_dispatch_request().status_code != 200:
                raise RuntimeError("the endpoint does not open its own links")
