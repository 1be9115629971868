"""A compromised endpoint: a token contains the headers that it answers."""

import base64
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    token = environ["PATH_INFO"].removeprefix("/")
    headers = json.loads(base64.urlsafe_b64decode(token))
    start_response("200 OK", [("Content-Length", "0"), *headers.items()])
    return []
