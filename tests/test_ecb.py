import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support import forging
from support.recordings import VECTORS
from support.refusing import refuses
from support.strategies import SEGMENT

from shim.errors import Reason, Refused
from shim.tokens import ecb

KEY = bytes.fromhex(VECTORS["key_hex"])
OTHER_KEY = bytes.fromhex(VECTORS["other_key_hex"])
open_token = ecb.opener((KEY,))

REASONS = {
    "a character outside base64url": Reason.NOT_BASE64URL,
    "standard base64 alphabet, not the URL-safe one": Reason.NOT_BASE64URL,
    "one character short": Reason.NOT_CANONICAL,
    "ciphertext is not a whole number of 16-byte blocks": Reason.NOT_WHOLE_BLOCKS,
    "padding in the middle": Reason.NOT_BASE64URL,
    "non-canonical base64: unused trailing bits set": Reason.NOT_CANONICAL,
    "made with another key": Reason.WRONG_KEY,
    "only padding: an empty path": Reason.EMPTY_PATH,
    "the root itself": Reason.EMPTY_PATH,
    "a directory, by its trailing slash": Reason.DIRECTORY,
    "hidden file": Reason.DOT_SEGMENT,
    "hidden directory": Reason.DOT_SEGMENT,
    "NUL inside the path": Reason.CONTROL_CHARACTER,
    "header injection: CR LF": Reason.CONTROL_CHARACTER,
    "header injection: LF": Reason.CONTROL_CHARACTER,
    "control character": Reason.CONTROL_CHARACTER,
    "DEL": Reason.CONTROL_CHARACTER,
    "not UTF-8": Reason.WRONG_KEY,
    "UTF-8 cut in the middle of a character": Reason.WRONG_KEY,
    "longer than PATH_MAX": Reason.PATH_TOO_LONG,
    "a segment longer than NAME_MAX": Reason.SEGMENT_TOO_LONG,
}


def encrypt(plaintext: bytes) -> str:
    return forging.encrypt(KEY, plaintext)


@pytest.mark.parametrize("vector", VECTORS["opens"], ids=lambda v: v["path"][:40])
def test_vector_opens_with_and_without_padding(vector: dict[str, str]) -> None:
    assert open_token(vector["token"]) == vector["path"]
    assert open_token(vector["token"].rstrip("=")) == vector["path"]


@pytest.mark.parametrize("vector", VECTORS["opens"], ids=lambda v: v["path"][:40])
def test_seal_writes_what_the_pbx_writes(vector: dict[str, str]) -> None:
    if "always pads" not in vector.get("note", ""):
        assert ecb.seal(vector["path"], (KEY,)) == vector["token"]


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda v: v["why"])
def test_vector_is_refused_for_its_own_reason(vector: dict[str, str]) -> None:
    why = vector["why"]
    reason = Reason.DOT_SEGMENT if why.startswith("dot segment") else REASONS[why]
    with refuses(reason):
        open_token(vector["token"])


@pytest.mark.parametrize("change", ["{}=", "={}", "{}\n", " {}", "{}==="])
def test_only_one_spelling_of_a_token_opens(change: str) -> None:
    with refuses(Reason.NOT_BASE64URL, Reason.NOT_CANONICAL):
        open_token(change.format(VECTORS["opens"][0]["token"]))


def test_impossible_base64_length() -> None:
    with refuses(Reason.NOT_BASE64URL):
        open_token("A" * 25)


def test_the_longest_path_opens_and_one_byte_more_does_not() -> None:
    longest = "/".join(["a" * 254] * 16) + "/" + "b" * 15
    assert len(longest) == 4095
    token = ecb.seal(longest, (KEY,))
    assert len(token) == ecb.TOKEN_MAX
    assert open_token(token) == longest
    with refuses(Reason.PATH_TOO_LONG):
        ecb.seal(longest + "b", (KEY,))
    with refuses(Reason.PATH_TOO_LONG):
        open_token(encrypt(longest.encode() + b"b"))


def test_the_first_key_seals_and_all_open() -> None:
    keyring = (OTHER_KEY, KEY)
    assert (
        ecb.opener(keyring)(VECTORS["opens"][0]["token"])
        == (VECTORS["opens"][0]["path"])
    )
    assert ecb.seal("/a.mp3", keyring) == ecb.seal("/a.mp3", (OTHER_KEY,))


def test_a_refusal_with_an_older_key_is_reported() -> None:
    with refuses(Reason.DOT_SEGMENT):
        ecb.opener((OTHER_KEY, KEY))(encrypt(b"/300/../x"))


@given(st.lists(SEGMENT, min_size=1, max_size=12), st.booleans())
def test_a_sealed_path_opens(segments: list[str], absolute: bool) -> None:
    path = "/" * absolute + "/".join(segments)
    assert open_token(ecb.seal(path, (KEY,))) == path


def is_safe(path: str) -> bool:
    segments = [segment for segment in path.split("/") if segment]
    return (
        bool(segments)
        and not any(segment.startswith(".") for segment in segments)
        and not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in path)
    )


@given(st.text() | st.from_regex(r"[A-Za-z0-9_=-]{0,90}"))
@example("")
@example("\ud800" * 22)
def test_no_text_raises_anything_but_a_refusal(token: str) -> None:
    try:
        assert is_safe(open_token(token))
    except Refused:
        pass


PIECES = st.sampled_from(
    [b"/", b".", b"..", b"a", b"\0", b"\n", b"\x7f", b"\xc2\x85", "й".encode(), b"\xff"]
)


@given(st.lists(PIECES, max_size=20).map(b"".join) | st.binary(max_size=64))
def test_whatever_opens_is_safe(plaintext: bytes) -> None:
    try:
        path = open_token(encrypt(plaintext))
    except Refused:
        return
    assert is_safe(path)
    assert path.encode() == plaintext.rstrip(b"\0")
