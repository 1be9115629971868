"""`./run fuzz`: opens random, damaged and forged tokens.

Each token must either be refused or open to claims that are safe to serve. Hypothesis
generates a token, and this opens it and many tokens that differ from it in one place.
"""

import argparse
import itertools
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.forging import HEADER, encrypt, encrypt_claims

from shim.errors import Refused
from shim.headers import accel_redirect, content_disposition, plain_record
from shim.tokens import opener
from shim.tokens.claims import Claims, check_times
from shim.tokens.keys import Keyrings
from shim.tokens.paths import record_name

ECB_KEY, JWE_KEY = bytes(range(32)), bytes(range(32, 64))  # for fuzzing only
ODD = "=.%\n\0\r /?й\udcff"

open_token = opener(Keyrings((bytes(32), ECB_KEY), (bytes(32), JWE_KEY)))

# Characters that are special in paths, names or JSON, drawn more often than by chance.
piece = st.sampled_from(
    ["/", ".", "..", "a", "\0", "\n", "\r\n", "\x7f", "\x85", "й", "\ud800", '"', "\\"]
)
name = st.lists(piece, max_size=8).map("".join) | st.text(max_size=40)
number = st.integers() | st.floats() | st.sampled_from([0, 10**400, 253_402_300_800])
json_value = st.recursive(
    st.none() | st.booleans() | number | name,
    lambda x: st.lists(x, max_size=3) | st.dictionaries(name, x, max_size=3),
    max_leaves=6,
)
claims = st.fixed_dictionaries(
    {"path": name | json_value, "exp": number | json_value},
    optional={
        "nbf": number | json_value,
        "filename": name | json_value,
        "disposition": st.sampled_from(["inline", "attachment"]) | json_value,
        "aud": json_value,
        "iss": json_value,
    },
)
header = st.just(HEADER) | st.fixed_dictionaries(
    {
        "alg": st.sampled_from(["dir", "none", "A256KW"]) | json_value,
        "enc": st.sampled_from(["A256GCM", "A128GCM"]) | json_value,
    },
    optional={x: json_value for x in ("zip", "crit", "typ", "kid", "cty", "jwk")},
)
ecb_token = st.one_of(
    name.map(lambda x: x.encode("utf-8", "surrogatepass")), st.binary(max_size=80)
).map(lambda x: encrypt(ECB_KEY, x))
jwe_token = st.builds(
    lambda content, head: encrypt_claims(JWE_KEY, content, head),
    claims | st.binary(max_size=60),
    header | st.binary(max_size=40),
)
no_token = st.text(max_size=80) | st.from_regex(r"[A-Za-z0-9_.=-]{0,120}")


def neighbours(token: str, other: str, at: int, put: str) -> Iterator[str]:
    """Yield `token`, variants with one change, and splices with `other`."""
    yield token
    for cut in range(len(token)):
        yield token[:cut]
        yield token[cut:]
        yield token[:cut] + put + token[cut + 1 :]
        yield token[:cut] + other[cut:]
    at %= len(token) + 1
    for char in itertools.chain(map(chr, range(33, 127)), ODD):
        yield token[:at] + char + token[at + 1 :]
        yield token[:at] + char + token[at:]
    if token.count(".") == other.count("."):
        pairs = zip(token.split("."), other.split("."), strict=True)
        yield from map(".".join, itertools.islice(itertools.product(*pairs), 32))


class Count:
    inputs = opened = 0


def open_one(token: str, authentic: set[str], count: Count) -> None:
    """Open `token` as the endpoint does; raise AssertionError if it should not have opened."""
    count.inputs += 1
    try:
        opened = open_token(token)
        record = record_name(opened.path)
    except Refused:
        return
    count.opened += 1
    assert "." not in token or token in authentic, "a forged token opened"
    assert_harmless(opened, record)
    with suppress(Refused):
        check_times(opened, time.time())


def assert_harmless(opened: Claims, record: str) -> None:
    segments = record.split("/")
    assert all(segments), "an empty segment"
    assert not any(x.startswith(".") for x in segments), "a dot segment"
    disposition = opened.disposition or "attachment"
    values = [
        accel_redirect(record, "/_records/"),
        plain_record(record).encode("latin-1").decode("utf-8"),
        content_disposition(opened.filename or segments[-1], disposition),
    ]
    for value in values:
        assert not any(ord(x) < 32 or 127 <= ord(x) < 160 for x in value), "a control"


def fuzz(seconds: float, least: int) -> Count:
    """Open tokens for `seconds`, and at least `least` of them, or until Ctrl-C."""
    count = Count()
    stop = threading.Event()
    # Hypothesis would report KeyboardInterrupt as a failure.
    signal.signal(signal.SIGINT, lambda *_: stop.set())

    @settings(
        max_examples=100,
        deadline=None,
        database=None,
        derandomize=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(
        token=ecb_token | jwe_token | no_token,
        other=ecb_token | jwe_token,
        at=st.integers(0, 400),
        put=st.characters(),
    )
    def some(token: str, other: str, at: int, put: str) -> None:
        for neighbour in neighbours(token, other, at, put):
            open_one(neighbour, {token, other}, count)

    end = time.monotonic() + seconds
    while not stop.is_set() and (time.monotonic() < end or count.inputs < least):
        some()
    return count


def main(least: int = 0) -> None:
    parser = argparse.ArgumentParser(prog="./run fuzz", description=__doc__)
    parser.add_argument(
        "seconds", nargs="?", type=float, default=float("inf"), metavar="SECONDS"
    )
    start = time.monotonic()
    count = fuzz(parser.parse_args().seconds, least)
    print(
        f"{count.inputs:,} inputs in {time.monotonic() - start:.0f} s:"
        f" {count.opened:,} opened, the others refused"
    )


if __name__ == "__main__":
    main()
