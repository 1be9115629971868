import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from support.links import jwe_target
from support.recordings import VECTORS

from shim.app import create_app
from shim.errors import Misconfigured
from shim.headers import lifetime

GOOD = VECTORS["opens"][0]
[REFUSED] = [x["token"] for x in VECTORS["refused"] if x["why"] == "hidden file"]
disk_events: list[str] = []


@sys.addaudithook
def _record_disk_events(event: str, _: object) -> None:
    if event == "open" or event.startswith(("os.", "glob.", "shutil.")):
        disk_events.append(event)


@pytest.fixture
def client(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    monkeypatch.setenv("SHIM_KEY_FILE", str(key_file))
    return create_app().test_client()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_good_token(client: FlaskClient, method: str) -> None:
    answer = client.open("/" + GOOD["token"], method=method)
    assert answer.status_code == 200
    assert answer.data == b""
    assert answer.headers["X-Accel-Redirect"] == "/_records" + GOOD["path"]
    assert "Content-Type" not in answer.headers
    assert "Content-Disposition" not in answer.headers


def test_a_jwe_token(
    jwe_key_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("SHIM_JWE_KEY_FILE", str(jwe_key_file))
    client = create_app().test_client()
    target = jwe_target("/300/a.mp3", exp=4_000_000_000, disposition="inline")
    answer = client.get(target, headers={"X-Cache-Seconds": "600"})
    assert answer.headers["X-Accel-Redirect"] == "/_records/300/a.mp3"
    assert answer.headers["X-Record-Disposition"] == 'inline; filename="a.mp3"'
    assert re.fullmatch(r"@\d{10}", answer.headers["X-Accel-Expires"])
    assert client.get(jwe_target("/300/a.mp3", exp=1)).status_code == 401
    assert caplog.messages == [
        "keys: 0 for ECB links, 1 for JWE links",
        "refused: code=expired request=-: expired at 1970-01-01T00:00:01Z",
    ]


def test_a_refusal_is_one_line_with_its_code_and_request_id(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.get("/" + REFUSED, headers={"X-Request-Id": "0123abcd"})
    assert answer.status_code == 403
    assert "X-Accel-Redirect" not in answer.headers
    [line] = caplog.messages
    assert line == (
        "refused: code=dot_segment request=0123abcd:"
        " path has a segment that starts with a dot"
    )


def test_no_request_touches_the_disk(
    client: FlaskClient, jwe_key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHIM_JWE_KEY_FILE", str(jwe_key_file))
    client = create_app().test_client()
    targets = {
        "/" + GOOD["token"]: 200,
        "/" + REFUSED: 403,
        jwe_target("/300/a.mp3"): 200,
        jwe_target("/300/a.mp3", exp=1): 401,
        jwe_target("/300/a.mp3")[:-2]: 403,
    }
    for target in targets:
        client.get(target)  # whatever is loaded late is loaded now
    disk_events.clear()
    assert {x: client.get(x).status_code for x in targets} == targets
    assert disk_events == []


# what gunicorn's workers do after they have been forked and have changed their user
REQUESTS = """
import sys
from wsgiref.util import setup_testing_defaults
from shim.app import create_app

app = create_app()
before = set(sys.modules)
for target in sys.argv[1:]:
    environ = {"PATH_INFO": target}
    setup_testing_defaults(environ)
    app(environ, lambda status, headers, exc_info=None: print(status[:3], end=" "))
print(*sorted(set(sys.modules) - before))
"""


def test_no_request_imports_anything(key_file: Path, jwe_key_file: Path) -> None:
    """A worker may not be able to read the package, such as `nobody` below /root."""
    targets = {
        "/" + GOOD["token"]: "200",
        "/" + REFUSED: "403",
        jwe_target("/300/a.mp3", filename="Отдел.mp3"): "200",
        jwe_target("/300/a.mp3", exp=1): "401",
        jwe_target("/300/a.mp3")[:-2]: "403",
        "/a/b": "404",
    }
    result = subprocess.run(
        [sys.executable, "-c", REQUESTS, *targets],
        env={"SHIM_KEY_FILE": str(key_file), "SHIM_JWE_KEY_FILE": str(jwe_key_file)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert result.stdout.split() == list(targets.values())


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods(client: FlaskClient, method: str) -> None:
    assert client.open("/" + GOOD["token"], method=method).status_code == 405


def test_a_failure_logs_no_token(
    client: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> str:
        raise ValueError(GOOD["token"])

    monkeypatch.setattr("shim.app.record_name", fail)
    with caplog.at_level(logging.DEBUG):
        answer = client.get("/" + GOOD["token"], headers={"X-Request-Id": "0123abcd"})
    assert answer.status_code == 500
    assert caplog.messages == ["failed: error=ValueError request=0123abcd"]
    assert GOOD["token"] not in caplog.text


@pytest.mark.parametrize(
    ("now", "cache_seconds", "expected"),
    [
        (100.0, 0, (100, 99)),
        (100.9, 0, (100, 99)),
        (100.9, 30, (130, 69)),
        (199.0, 600, (199, 0)),
        (199.9, 600, (199, 0)),
    ],
)
def test_the_last_second_of_an_answer_and_its_max_age_end_before_the_link(
    now: float, cache_seconds: int, expected: tuple[int, int]
) -> None:
    assert lifetime(200, now, cache_seconds) == expected
    assert lifetime(200.5, now, cache_seconds) == expected


def test_the_endpoint_requires_a_key() -> None:
    with pytest.raises(Misconfigured, match="SHIM_KEY_FILE"):
        create_app()


def test_a_prefix_with_which_no_jwe_link_can_be_made(
    jwe_key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHIM_JWE_KEY_FILE", str(jwe_key_file))
    # JSON doubles every quote, and the token gets longer than a request line
    monkeypatch.setenv("SHIM_PATH_PREFIX", ("/" + '"' * 250) * 14)
    with pytest.raises(Misconfigured, match="SHIM_PATH_PREFIX: no link can be made"):
        create_app()


def test_tokens_do_not_load_flask() -> None:
    loaded = "import shim.tokens, sys; sys.exit('flask' in sys.modules)"
    subprocess.run([sys.executable, "-c", loaded], check=True)


def test_an_endpoint_that_does_not_open_its_own_links_does_not_start(
    key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHIM_KEY_FILE", str(key_file))
    monkeypatch.setattr("shim.app.record_name", lambda *_: 1 / 0)
    with pytest.raises(RuntimeError, match="does not open its own links"):
        create_app()
