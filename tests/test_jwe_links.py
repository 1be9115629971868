"""JWE links through real nginx and gunicorn: expiry, claims, forgery."""

import itertools
import json
import math
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import pytest
from support import forging
from support.links import TEST_JWE_KEY, TEST_KEY, ecb_target, in_an_hour, jwe_target
from support.raw_http import Answer, fetch, get
from support.recordings import LONG, MP3, VECTORS
from support.stack import Stack, free_port, running
from support.strategies import WRONG_CLAIMS
from support.waiting import wait_for

from shim.tokens import jwe

pytestmark = pytest.mark.needs("nginx", "curl")

KEY = bytes.fromhex(TEST_JWE_KEY)
EXPIRED = b"This link has expired. Please ask for a new one.\n"


def not_found(stack: Stack) -> Answer:
    return get(stack.port, "/none").without("Date")


def answers_until(
    stack: Stack, target: str, stop: float, pause: float = 0.01
) -> Iterator[tuple[float, Answer, float]]:
    """Ask again and again until the time `stop`; yield each answer between two times."""
    while (before := time.time()) < stop:
        answer = get(stack.port, target)
        yield before, answer, time.time()
        time.sleep(pause)


def test_a_link_ends_to_the_second(stack: Stack, recordings: dict[str, bytes]) -> None:
    exp = math.ceil(time.time()) + 2
    statuses = []
    for before, answer, after in answers_until(
        stack, jwe_target(MP3, exp=exp), exp + 1.5
    ):
        if after < exp:
            assert (answer.status, answer.body) == (200, recordings[MP3])
        elif before >= exp:
            assert (answer.status, answer.body) == (410, EXPIRED)
        statuses.append(answer.status)
    assert statuses.count(200) > 10
    assert statuses.count(410) > 10
    assert statuses == sorted(statuses)


@pytest.mark.parametrize("stack", ["10m"], indirect=True)
def test_nothing_is_served_from_memory_beyond_the_end(stack: Stack) -> None:
    exp = math.ceil(time.time()) + 3
    target = jwe_target(MP3, exp=exp)
    assert get(stack.port, target).status == 200
    stack.stop_endpoint()
    try:
        statuses = []
        for before, answer, _ in answers_until(stack, target, exp + 1.5):
            assert before < exp or answer.status == 503
            statuses.append(answer.status)
        # it was served from memory for as long as there was a second left
        assert statuses[0] == 200
        assert statuses == sorted(statuses)
    finally:
        stack.start_endpoint()
    assert get(stack.port, target).status == 410


def test_a_fractional_expiry_is_not_rounded_up(stack: Stack) -> None:
    exp = math.ceil(time.time()) + 1.5
    for before, answer, after in answers_until(
        stack, jwe_target(MP3, exp=exp), exp + 1
    ):
        if after < exp:
            assert answer.status == 200
        elif before >= exp:
            assert answer.status == 410


def test_the_command_makes_a_link_for_two_seconds(stack: Stack) -> None:
    options = ("--expires", "2s", "--base-url", stack.url)
    link = stack.command("link", *options, MP3).strip()
    made = time.time()
    target = link.removeprefix(stack.url)
    assert get(stack.port, target).status == 200
    wait_for(lambda: time.time() > made + 3)
    assert get(stack.port, target).status == 410


def expired(path: str = MP3) -> str:
    return jwe_target(path, exp=int(time.time()))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_page_of_an_expired_link(stack: Stack, method: str) -> None:
    [answer] = fetch(stack.port, expired(), method, {"Range": "bytes=0-9"})
    assert answer.status == 410
    assert answer.body == (EXPIRED if method == "GET" else b"")
    assert answer.header("Content-Type") == "text/plain"
    assert answer.header("Cache-Control") == "no-store"
    assert answer.header("Referrer-Policy") == "no-referrer"
    assert answer.header("X-Content-Type-Options") == "nosniff"
    assert answer.header("Content-Disposition") is None
    for header in ("If-None-Match", "If-Match", "If-Modified-Since"):
        [again] = fetch(stack.port, expired(), method, {header: "*"})
        assert again.without("Date") == answer.without("Date")


def test_an_expired_link_tells_nothing_about_its_record(stack: Stack) -> None:
    reference = get(stack.port, expired()).without("Date")
    for path in ("/300/missing.mp3", "/300", "/nowhere/x", LONG):
        assert get(stack.port, expired(path)).without("Date") == reference


def test_only_an_authentic_link_is_told_that_it_expired(stack: Stack) -> None:
    target = expired()
    changed = [
        target[:-1] + ("A" if target[-1] != "A" else "Q"),
        target.replace("..", ".AA."),
        target + ".",
        "/" + forging.encrypt_claims(bytes(32), {"path": MP3, "exp": 1}),
        "/" + forging.encrypt_claims(KEY, {"path": "/300/../x", "exp": 1}),
        "/" + forging.encrypt_claims(KEY, {"path": MP3, "exp": 1, "nbf": "x"}),
    ]
    for each in changed:
        assert get(stack.port, each).without("Date") == not_found(stack)


def test_a_link_before_its_time(stack: Stack) -> None:
    nbf = math.ceil(time.time()) + 1
    target = jwe_target(MP3, nbf=nbf)
    for before, answer, after in answers_until(stack, target, nbf + 0.5):
        if after < nbf:
            assert answer.without("Date") == not_found(stack)
        elif before >= nbf:
            assert answer.status == 200


def max_age(answer: Answer) -> int:
    scope, age = (answer.header("Cache-Control") or "").split(", max-age=")
    assert scope == "private"
    return int(age)


def test_no_client_may_keep_a_recording_beyond_the_links_end(stack: Stack) -> None:
    exp = math.ceil(time.time()) + 3
    for seconds, times in ((exp, exp - 0.1), (exp + 3600, exp - 2)):
        target = jwe_target(MP3, exp=seconds)
        for _, answer, _ in answers_until(stack, target, times, pause=0.1):
            sent = parsedate_to_datetime(answer.header("Date") or "").timestamp()
            assert sent + max_age(answer) <= seconds
    # and keeps it for long where the link does; nginx itself keeps it for ten minutes
    kept = 3600 - (600 if stack.cache_time else 0)
    assert (
        kept - 5 <= max_age(get(stack.port, jwe_target(MP3, exp=in_an_hour()))) <= kept
    )
    assert get(stack.port, ecb_target(MP3)).header("Cache-Control") == "private"


def test_a_revalidated_recording_keeps_its_links_end(stack: Stack) -> None:
    target = jwe_target(MP3)
    etag = get(stack.port, target).header("ETag") or ""
    again = get(stack.port, target, If_None_Match=etag)
    assert again.status == 304
    assert 0 < max_age(again) <= 3600


@pytest.mark.parametrize(
    ("claims", "header"),
    [
        ({"filename": "call.mp3"}, 'attachment; filename="call.mp3"'),
        ({"disposition": "inline"}, f'inline; filename="{MP3[5:]}"'),
        (
            {"filename": 'й"; x="\\.mp3', "disposition": "inline"},
            "inline; filename=\"__; x=__.mp3\"; filename*=UTF-8''"
            + quote('й"; x="\\.mp3', safe=""),
        ),
        (
            {"filename": "%0d%0aX-Evil: 1"},
            'attachment; filename="_0d_0aX-Evil: 1"; filename*='
            + "UTF-8''%250d%250aX-Evil%3A%201",
        ),
    ],
)
def test_name_and_disposition_are_the_links(
    stack: Stack, claims: dict[str, str], header: str
) -> None:
    answer = get(stack.port, jwe_target(MP3, **claims))
    assert answer.status == 200
    assert answer.header("Content-Disposition") == header
    assert answer.header("X-Evil") is None


def test_the_longest_name_of_the_longest_path(
    stack: Stack, recordings: dict[str, bytes]
) -> None:
    claims = {"path": LONG, "exp": in_an_hour(), "filename": "й" * 125 + ".mp3"}
    rest = len(forging.encrypt_claims(KEY, claims | {"x": ""}))
    assert rest > jwe.TOKEN_MAX, "escaped it is too long"
    target = jwe_target(LONG, filename=claims["filename"])
    answer = get(stack.port, target)
    assert answer.body == recordings[LONG]
    assert quote(claims["filename"]) in (answer.header("Content-Disposition") or "")


def test_the_longest_token(stack: Stack, recordings: dict[str, bytes]) -> None:
    claims = {
        "path": LONG,
        "exp": in_an_hour(),
        "filename": "й" * 125 + ".mp3",
        "x": "",
    }

    def token() -> str:
        text = json.dumps(claims, ensure_ascii=False).encode()
        return forging.encrypt_claims(KEY, text)

    rest = len(token())
    for length, status in ((jwe.TOKEN_MAX - 2, 200), (jwe.TOKEN_MAX + 2, 404)):
        claims["x"] = "x" * ((length - rest) * 3 // 4)
        assert abs(len(token()) - length) <= 2
        answer = get(stack.port, f"/{token()}")
        assert answer.status == status
        assert (answer.body == recordings[LONG]) == (status == 200)


@pytest.mark.parametrize(
    ("claim", "value"),
    [(claim, value) for claim, values in WRONG_CLAIMS.items() for value in values],
)
def test_a_wrong_claim_is_the_same_404(stack: Stack, claim: str, value: object) -> None:
    claims = {"path": MP3, "exp": in_an_hour()} | {claim: value}
    answer = get(stack.port, "/" + forging.encrypt_claims(KEY, claims))
    assert answer.without("Date") == not_found(stack)
    wait_for(lambda: f"invalid claim: {claim} " in stack.log("endpoint.log"))


@pytest.mark.parametrize(
    "changes",
    [forging.bits_of_the_text, forging.bits_of_the_parts, forging.truncations],
    ids=lambda x: x.__name__,
)
def test_no_changed_link_opens(
    stack: Stack, changes: Callable[[str], Iterator[str]]
) -> None:
    token = jwe_target(MP3)[1:]
    assert get(stack.port, f"/{token}").status == 200
    assert set(fetch_all(stack, changes(token))) == {404}


def test_no_mixture_of_two_links_opens(stack: Stack) -> None:
    tokens = [jwe_target(x["path"])[1:] for x in VECTORS["opens"][:4]]
    mixtures = [
        mixture
        for one, other in itertools.combinations(tokens, 2)
        for mixture in forging.swaps(one, other)
        if mixture not in tokens
    ]
    assert set(fetch_all(stack, mixtures)) == {404}


def fetch_all(stack: Stack, tokens: Iterable[str]) -> list[int]:
    """Return the statuses of links with `tokens`, percent-encoded, over few connections."""
    # nothing at all would be the front page
    tokens = [token for token in tokens if token]
    urls = "".join(
        f'url = "{stack.url}/{quote(token, safe="", encoding="latin-1")}"\n'
        'output = "/dev/null"\nwrite-out = "%{http_code}\\n"\n'
        for token in tokens
    )
    output = subprocess.run(
        ["curl", "-sS", "-K", "-"],
        input=urls.encode(),
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    statuses = [int(status) for status in output.split()]
    assert len(statuses) == len(tokens)
    return statuses


@pytest.mark.parametrize("cache_time", [None, "10m"])
def test_only_the_formats_that_have_a_key_open(cache_time: str | None) -> None:
    content = {"/300/a.mp3": b"a"}
    targets = {
        "SHIM_KEY_FILE": ecb_target("/300/a.mp3"),
        "SHIM_JWE_KEY_FILE": jwe_target("/300/a.mp3"),
    }
    for variable, closed in targets.items():
        with running(
            content,
            free_port(),
            key=TEST_KEY,
            jwe_key=TEST_JWE_KEY,
            settings={variable: ""},
            cache_time=cache_time,
        ) as stack:
            for target in targets.values():
                status = 404 if target == closed else 200
                assert get(stack.port, target).status == status
            code = {"SHIM_KEY_FILE": "no_ecb_key", "SHIM_JWE_KEY_FILE": "no_jwe_key"}
            reason = f"refused: code={code[variable]} "
            wait_for(lambda: reason in stack.log("endpoint.log"))  # noqa: B023
