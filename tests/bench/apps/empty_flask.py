"""A Flask application whose one view does nothing."""

from flask import Flask, Response

app = Flask("empty_flask", static_folder=None)


@app.get("/<token>")
def nothing(token: str) -> Response:
    return Response()
