import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import forging
from support.forging import base64url
from support.links import TEST_JWE_KEY, TEST_KEY
from support.recordings import LONG, VECTORS
from support.refusing import refuses
from support.strategies import SEGMENT, WRONG_CLAIMS

from shim.errors import Reason, Refused
from shim.tokens import jwe
from shim.tokens.claims import TIME_MAX, Claims, check_times

KEY = bytes.fromhex(TEST_JWE_KEY)
OTHER_KEY = bytes.fromhex(VECTORS["other_key_hex"])
GOOD = {"path": "/300/a.mp3", "exp": 4_000_000_000}
FULL = Claims("/300/й.mp3", 4_000_000_000, 1_000_000_000, 'Звонок "1".mp3', "inline")
open_token = jwe.opener((KEY,))


def encrypt(claims: object, **options: object) -> str:
    return forging.encrypt_claims(KEY, claims, **options)


def test_the_example_of_the_rfc_form() -> None:
    """The parts are those of RFC 7516, section 7.1, and dir leaves the second empty."""
    header, encrypted_key, iv, ciphertext, tag = jwe.seal(FULL, (KEY,)).split(".")
    assert json.loads(forging.raw_parts(header)[0]) == forging.HEADER
    assert encrypted_key == ""
    assert [len(x) for x in forging.raw_parts(f"{iv}.{tag}")] == [12, 16]
    assert "=" not in ciphertext


def test_a_sealed_path_opens() -> None:
    assert open_token(jwe.seal(FULL, (KEY,))) == FULL
    least = Claims("/300/a.mp3", exp=1.5)
    assert open_token(jwe.seal(least, (KEY,))) == least


@given(st.lists(SEGMENT, min_size=1, max_size=12), SEGMENT, st.integers(0, TIME_MAX))
def test_any_path_and_name_can_be_sealed(
    segments: list[str], filename: str, exp: int
) -> None:
    claims = Claims("/" + "/".join(segments), exp, filename=filename)
    assert open_token(jwe.seal(claims, (KEY,))) == claims


def test_no_two_tokens_are_alike() -> None:
    """A nonce that is used twice under GCM gives the key's other messages away."""
    tokens = {jwe.seal(FULL, (KEY,)) for _ in range(1000)}
    assert len({token.split(".")[2] for token in tokens}) == 1000


def test_the_first_key_seals_and_all_open() -> None:
    token = jwe.seal(FULL, (OTHER_KEY, KEY))
    assert jwe.opener((KEY, OTHER_KEY))(token) == FULL
    with refuses(Reason.NOT_AUTHENTIC):
        open_token(token)


def test_the_longest_token_opens_and_a_longer_one_does_not() -> None:
    assert open_token(jwe.seal(Claims(LONG, exp=1), (KEY,))).path == LONG
    quotes = "/".join(['"' * 255] * 16)
    with refuses(Reason.TOKEN_TOO_LONG):
        jwe.seal(Claims(quotes, exp=1), (KEY,))
    rest = len(encrypt(GOOD | {"x": ""}))
    fitting = encrypt(GOOD | {"x": "x" * ((jwe.TOKEN_MAX - rest) * 3 // 4)})
    assert jwe.TOKEN_MAX - 3 < len(fitting) <= jwe.TOKEN_MAX
    assert open_token(fitting).path == GOOD["path"]
    with refuses(Reason.TOKEN_TOO_LONG):
        open_token(encrypt(GOOD | {"x": "x" * jwe.TOKEN_MAX}))


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "dir", "enc": "A256GCM", "typ": "JWT"},
        {"alg": "dir", "enc": "A256GCM", "kid": "2026"},
        b' { "enc" : "A256GCM", "alg":"\\u0064ir"}\n',
    ],
)
def test_equivalent_headers(header: object) -> None:
    assert open_token(encrypt(GOOD, header=header)).path == GOOD["path"]


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "dir"},
        {"enc": "A256GCM"},
        {"alg": "none", "enc": "A256GCM"},
        {"alg": "A256KW", "enc": "A256GCM"},
        {"alg": "DIR", "enc": "A256GCM"},
        {"alg": "dir", "enc": "A128GCM"},
        {"alg": "dir", "enc": "A256CBC-HS512"},
        {"alg": ["dir"], "enc": "A256GCM"},
        *(
            forging.HEADER | extra
            for extra in (
                {"zip": "DEF"},
                {"crit": ["exp"], "exp": 1},
                {"crit": []},
                {"cty": "JWT"},
                {"typ": "JOSE"},
                {"typ": None},
                {"kid": 7},
                {"apu": "x"},
                {"jwk": {"kty": "oct", "k": "AA"}},
                {"jku": "https://example.com/keys"},
                {"x5u": "https://example.com/keys"},
                {"p2c": 1_000_000_000},
                {"b64": False},
                {"exp": 1},
                {"": ""},
            )
        ),
        b'{"alg":"dir","enc":"A256GCM","alg":"dir"}',
        b'{"alg":"dir","enc":"A256GCM"}{}',
        b'\xef\xbb\xbf{"alg":"dir","enc":"A256GCM"}',
        '{"alg":"dir","enc":"A256GCM"}'.encode("utf-16"),
        b"[" * 5000,
        b"[]",
        b"null",
        b"",
        b"\xff",
    ],
)
def test_a_header_that_could_mean_anything_else(header: object) -> None:
    with refuses(Reason.BAD_HEADER):
        open_token(encrypt(GOOD, header=header))


@pytest.mark.parametrize("claim", ["iss", "sub", "jti", "iat", "path_"])
def test_unknown_claims_are_ignored(claim: str) -> None:
    assert open_token(encrypt(GOOD | {claim: "x"})) == Claims(**GOOD)


@pytest.mark.parametrize(
    ("claim", "value"),
    [(claim, value) for claim, values in WRONG_CLAIMS.items() for value in values],
)
def test_a_claim_that_is_wrong_is_named(claim: str, value: object) -> None:
    with refuses(Reason.BAD_CLAIM, detail=f"{claim} "):
        open_token(encrypt(GOOD | {claim: value}))


@pytest.mark.parametrize("claim", ["path", "exp"])
def test_a_claim_that_is_missing_is_named(claim: str) -> None:
    rest = {key: value for key, value in GOOD.items() if key != claim}
    with refuses(Reason.BAD_CLAIM, detail=f"{claim} "):
        open_token(encrypt(rest))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b'"path"',
        b'{"path":"/a.mp3","exp":4000000000',
        b'{"path":"/a.mp3","path":"/b.mp3","exp":4000000000}',
        b'{"path":"/a.mp3","exp":1,"\\u0065xp":4000000000}',
        b'{"path":"/\xff.mp3","exp":4000000000}',
        '{"path":"/a.mp3","exp":4000000000}'.encode("utf-16"),
        b'{"path":"/a.mp3","exp":' + b"9" * 5000 + b"}",
        b'{"x":' * 1000,
    ],
)
def test_a_payload_without_claims(text: bytes) -> None:
    with refuses(Reason.BAD_CLAIM, detail="they must be a JSON object"):
        open_token(encrypt(text))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1"])
def test_an_invalid_time(number: str) -> None:
    text = f'{{"path":"/a.mp3","exp":{number}}}'
    with refuses(Reason.BAD_CLAIM, detail="exp "):
        open_token(encrypt(text.encode()))


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/300/../x", Reason.DOT_SEGMENT),
        ("/.htpasswd", Reason.DOT_SEGMENT),
        ("/300/", Reason.DIRECTORY),
        ("/", Reason.EMPTY_PATH),
        ("", Reason.EMPTY_PATH),
        ("/300/a.mp3\0", Reason.CONTROL_CHARACTER),
        ("/300/a\r\nX-Evil: 1", Reason.CONTROL_CHARACTER),
        ("/\ud800.mp3", Reason.NOT_UTF8),
        ("/" + "x" * 256, Reason.SEGMENT_TOO_LONG),
        ("/x" * 2048, Reason.PATH_TOO_LONG),
    ],
)
def test_the_rules_for_paths_are_the_same(path: str, reason: Reason) -> None:
    with refuses(reason):
        open_token(encrypt(GOOD | {"path": path}))
    with refuses(reason):
        jwe.seal(Claims(path, exp=1), (KEY,))


@pytest.mark.parametrize(
    "claims",
    [
        Claims("/a.mp3"),
        Claims("/a.mp3", exp=TIME_MAX + 1),
        Claims("/a.mp3", exp=1, filename="a/b"),
        Claims("/a.mp3", exp=1, filename="\udcff"),
        Claims("/a.mp3", exp=1, disposition="x"),
    ],
)
def test_nothing_is_sealed_that_would_not_open(claims: Claims) -> None:
    with refuses(Reason.BAD_CLAIM):
        jwe.seal(claims, (KEY,))


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (99.999, Reason.NOT_YET_VALID),
        (100, None),
        (199.999, None),
        (200, Reason.EXPIRED),
        (1e12, Reason.EXPIRED),
    ],
)
def test_a_token_is_valid_from_nbf_until_just_before_exp(
    now: float, reason: Reason | None
) -> None:
    claims = Claims("/a.mp3", exp=200, nbf=100)
    if reason is None:
        check_times(claims, now)
        return
    with refuses(reason, detail=r"1970-01-01T00:0[13]:[24]0Z"):
        check_times(claims, now)


def assert_refused(tokens: Iterable[str]) -> int:
    """Return how many tokens there were."""
    count = 0
    for token in tokens:
        count += 1
        with pytest.raises(Refused):
            open_token(token)
    return count


def test_every_single_bit_change_is_refused() -> None:
    token = jwe.seal(FULL, (KEY,))
    assert assert_refused(forging.bits_of_the_text(token)) == 8 * len(token)
    size = sum(map(len, forging.raw_parts(token)))
    assert assert_refused(forging.bits_of_the_parts(token)) == 8 * size


def test_every_truncation_is_refused() -> None:
    token = jwe.seal(FULL, (KEY,))
    assert assert_refused(forging.truncations(token)) == 3 * len(token)


def test_every_swap_of_parts_is_refused() -> None:
    one = jwe.seal(FULL, (KEY,))
    other = encrypt(GOOD, header=forging.HEADER | {"kid": "x"})
    # four parts that differ, the second is empty in both: each mixture comes twice
    assert assert_refused(forging.swaps(one, other)) == 2 * (2**4 - 2)


@pytest.mark.parametrize("change", ["{}=", "{}.", ".{}", " {}", "{}\n", "{}.x"])
def test_only_one_spelling_of_a_token_opens(change: str) -> None:
    assert_refused([change.format(encrypt(GOOD))])


@pytest.mark.parametrize("key", ["AA", base64url(KEY), "=", " "])
def test_an_encrypted_key_is_refused_with_dir(key: str) -> None:
    """The tag does not cover this part (RFC 7518, section 4.5)."""
    assert_refused([encrypt(GOOD).replace("..", f".{key}.")])


@pytest.mark.parametrize("size", [1, 8, 13, 16])
def test_an_iv_of_another_size(size: int) -> None:
    with refuses(Reason.NOT_COMPACT):
        open_token(encrypt(GOOD, iv_bytes=size))


def test_a_tag_that_was_cut_short() -> None:
    """A short tag of GCM is soon guessed (NIST SP 800-38D, appendix C)."""
    *rest, tag = forging.raw_parts(encrypt(GOOD))
    for size in range(16):
        cut = ".".join(map(forging.base64url, [*rest, tag[:size]]))
        with refuses(Reason.NOT_COMPACT):
            open_token(cut)


def test_an_ecb_key_opens_no_jwe_token() -> None:
    with refuses(Reason.NOT_AUTHENTIC):
        jwe.opener((bytes.fromhex(TEST_KEY),))(encrypt(GOOD))
