"""The files of nginx/ that an operator copies, with real nginx and gunicorn."""

import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from support.certificates import issue
from support.checkout import CHECKOUT
from support.links import TEST_JWE_KEY, TEST_KEY, ecb_target, jwe_target
from support.raw_http import Answer, fetch, get
from support.stack import Stack, free_port, running
from support.waiting import wait_for

pytestmark = pytest.mark.needs("nginx")

RECIPES = CHECKOUT / "nginx"
# more than nginx and the sockets buffer, so that a download that is not read goes on
BIG = "/300/big.wav"
CONTENT = {"/300/a.mp3": b"a" * 1000, BIG: bytes(30_000_000)}
TOO_MANY = b"Too many requests. Please try again.\n"


@pytest.fixture(params=[None, "10m"], ids=["plain", "cached"])
def cache_time(request: pytest.FixtureRequest) -> str | None:
    return request.param


@contextmanager
def with_recipes(
    *names: str, cache_time: str | None, edit: tuple[str, str] = ("", "")
) -> Iterator[Stack]:
    """Run a stack with these recipes where their first lines say, with one edit."""
    files = {}
    for name in names:
        directory = "nginx.d/headers" if name == "headers" else "nginx.d"
        if name.endswith("-zone"):
            directory = "conf.d"
        text = (RECIPES / f"{name}.conf").read_text("utf-8")
        files[f"{directory}/{name}.conf"] = text.replace(*edit) if edit[0] else text
    keys = {"key": TEST_KEY, "jwe_key": TEST_JWE_KEY}
    with running(
        CONTENT, free_port(), **keys, cache_time=cache_time, files=files
    ) as stack:
        yield stack


def audit(stack: Stack, user_agent: str) -> list[dict[str, object]]:
    lines = [json.loads(x) for x in stack.log("record-shim.log").splitlines()]
    return [x for x in lines if x["user_agent"] == user_agent]


def assert_no_token_in_a_log(stack: Stack, target: str) -> None:
    for log in (stack.root / "logs").iterdir():
        assert target.lstrip("/") not in log.read_text("utf-8"), log.name


def assert_too_many(answer: Answer) -> None:
    assert (answer.status, answer.body) == (429, TOO_MANY)
    assert answer.header("Content-Type") == "text/plain"
    assert answer.header("Retry-After") == "5"
    assert answer.header("Cache-Control") == "no-store"


def test_every_recipe_says_what_it_does_and_is_tested() -> None:
    tests = Path(__file__).read_text("utf-8")
    for file in RECIPES.iterdir():
        assert file.suffix == ".conf"
        if file.name != "record-shim.conf":
            assert re.match(r"# [A-Z]", file.read_text("utf-8"))
            assert f'"{file.stem}"' in tests


def test_load_balancer(cache_time: str | None) -> None:
    edit = ("set_real_ip_from 192.0.2.1;", "set_real_ip_from 127.0.0.1;")
    with with_recipes("load-balancer", cache_time=cache_time, edit=edit) as stack:
        get(
            stack.port,
            ecb_target("/300/a.mp3"),
            X_Forwarded_For="203.0.113.9, 203.0.113.7",
            User_Agent="balanced",
        )
        wait_for(lambda: audit(stack, "balanced") != [])
        assert [x["client"] for x in audit(stack, "balanced")] == ["203.0.113.7"]
    # unedited, it trusts nobody here
    with with_recipes("load-balancer", cache_time=cache_time) as stack:
        get(stack.port, "/none", X_Forwarded_For="203.0.113.9", User_Agent="direct")
        wait_for(lambda: audit(stack, "direct") != [])
        assert [x["client"] for x in audit(stack, "direct")] == ["127.0.0.1"]


@contextmanager
def download(stack: Stack, target: str) -> Iterator[bytes]:
    """Begin a download; yield the status line and let the rest wait."""
    with socket.socket() as connection:
        # small, so that nginx does not finish early
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", stack.port))
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        yield connection.recv(12)


def test_limit_conn(cache_time: str | None) -> None:
    target = ecb_target(BIG)
    recipes = ("limit-conn", "limit-conn-zone")
    with with_recipes(*recipes, cache_time=cache_time) as stack, ExitStack() as open_:
        # each is counted once, although two locations are involved
        for _ in range(20):
            assert open_.enter_context(download(stack, target)) == b"HTTP/1.1 200"
        for each in (target, ecb_target("/300/a.mp3"), ecb_target("/300/gone.mp3")):
            assert_too_many(get(stack.port, each, User_Agent="beyond"))
        [head] = fetch(stack.port, target, "HEAD")
        assert (head.status, head.body) == (429, b"")
        wait_for(lambda: len(audit(stack, "beyond")) == 3)
        assert {x["status"] for x in audit(stack, "beyond")} == {429}
        assert_no_token_in_a_log(stack, target)
        open_.close()
        wait_for(lambda: get(stack.port, ecb_target("/300/a.mp3")).status == 200)


def test_limit_req(cache_time: str | None) -> None:
    target = ecb_target("/300/a.mp3")
    recipes = ("limit-req", "limit-req-zone")
    # a rate at which no time passes
    edit = ("rate=20r/s", "rate=1r/m")
    with with_recipes(*recipes, cache_time=cache_time, edit=edit) as stack:
        # one at the rate and a hundred beyond, less the one that the stack itself sent
        answers = [get(stack.port, target, User_Agent="burst") for _ in range(101)]
        assert [x.status for x in answers] == [200] * 100 + [429]
        assert_too_many(answers[-1])
        # not only for good links
        assert_too_many(get(stack.port, ecb_target("/300/gone.mp3")))
        assert_too_many(get(stack.port, jwe_target("/300/a.mp3", exp=time.time() - 1)))
        wait_for(lambda: len(audit(stack, "burst")) == 101)
        assert [x["status"] for x in audit(stack, "burst")] == [200] * 100 + [429]
        assert_no_token_in_a_log(stack, target)
    with with_recipes(*recipes, cache_time=cache_time) as stack:
        # nodelay: a burst is not slowed down to the rate
        started = time.monotonic()
        assert {get(stack.port, target).status for _ in range(60)} == {200}
        assert time.monotonic() - started < 2


@pytest.mark.needs("curl", "openssl")
def test_limits_with_http_2(tmp_path: Path, cache_time: str | None) -> None:
    target = ecb_target(BIG)
    certificate = issue(tmp_path, "storage.example.com")
    options = [
        f"--certificate={certificate.file}",
        f"--certificate-key={certificate.key}",
    ]
    files = {
        "nginx.d/limit-conn.conf": (RECIPES / "limit-conn.conf").read_text("utf-8"),
        "conf.d/zone.conf": (RECIPES / "limit-conn-zone.conf").read_text("utf-8"),
    }
    with running(
        CONTENT,
        free_port(),
        key=TEST_KEY,
        jwe_key=TEST_JWE_KEY,
        cache_time=cache_time,
        site_options=options,
        files=files,
    ) as stack:
        # thirty downloads over one connection, too slow for one to end before the last begins
        request = f'url = "{stack.url}{target}"\noutput = "/dev/null"\n'
        curl = ["curl", "-sk", "--http2", "-Z", "--parallel-max", "30", "-K", "-"]
        limits = ["--limit-rate", "1M", "--max-time", "2", "-w", "%{http_code}\n"]
        subprocess.run(
            [*curl, *limits],
            input=(request * 30).encode(),
            check=False,
            stdout=subprocess.PIPE,
        )
        wait_for(lambda: stack.log("record-shim.log").count('"status":429') == 10)
        assert_no_token_in_a_log(stack, target)


def test_allow(cache_time: str | None) -> None:
    target = ecb_target("/300/a.mp3")
    expired = jwe_target("/300/a.mp3", exp=time.time() - 1)
    with with_recipes("allow", cache_time=cache_time) as stack:
        assert get(stack.port, target).status == 200
        assert get(stack.port, expired).status == 410
    edit = ("allow 127.0.0.1;", "")
    with with_recipes("allow", cache_time=cache_time, edit=edit) as stack:
        wrong = get(stack.port, "/none").without("Date")
        assert wrong.status == 404
        for each in (target, expired):
            assert get(stack.port, each).without("Date") == wrong
        assert_no_token_in_a_log(stack, target)


def test_headers(cache_time: str | None) -> None:
    with with_recipes("headers", cache_time=cache_time) as stack:
        target = ecb_target("/300/a.mp3")
        for each in (
            get(stack.port, target),
            get(stack.port, target, Range="bytes=0-9"),
            get(stack.port, "/none"),
            get(stack.port, jwe_target("/300/a.mp3", exp=time.time() - 1)),
            fetch(stack.port, target, "POST")[0],
        ):
            value = each.header("Strict-Transport-Security")
            assert value == "max-age=31536000", each.status
            # the site's own are still there
            assert each.header("Allow") or each.header("Referrer-Policy")


def test_a_header_has_no_effect_elsewhere(cache_time: str | None) -> None:
    """What headers.conf says of nginx.d itself."""
    files = {"nginx.d/x.conf": "add_header X-Own 1 always;\n"}
    with running(CONTENT, free_port(), cache_time=cache_time, files=files) as stack:
        assert get(stack.port, "/none").header("X-Own") is None
