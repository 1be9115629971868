"""An endpoint that somebody has taken over: its tokens say what it shall answer."""

import base64
import json
from collections.abc import Callable, Iterable
from typing import Any


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    token = environ["PATH_INFO"].removeprefix("/")
    headers = json.loads(base64.urlsafe_b64decode(token))
    start_response("200 OK", [("Content-Length", "0"), *headers.items()])
    return []
