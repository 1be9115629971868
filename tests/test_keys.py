import base64
import os
from pathlib import Path

import pytest

from shim.errors import Misconfigured
from shim.tokens.keys import ECB, JWE, load_keyring, load_keyrings
from shim.tokens.keys import key_file as find_key_file

KEY = bytes(range(200, 232))
TEXT = b"correct horse battery staple 32!"


def write(path: Path, content: bytes, mode: int = 0o600) -> str:
    path.touch(mode)
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (KEY.hex().encode() + b"\n", KEY),
        (KEY.hex().upper().encode() + b"\r\n", KEY),
        (base64.b64encode(KEY) + b"\n", KEY),
        (base64.urlsafe_b64encode(KEY), KEY),
        (base64.urlsafe_b64encode(KEY).rstrip(b"="), KEY),
        (TEXT + b"\n", TEXT),
        (KEY, KEY),
        (b"# the ECB's key\n\n" + KEY.hex().encode(), KEY),
    ],
)
def test_every_way_to_write_a_key(tmp_path: Path, content: bytes, key: bytes) -> None:
    assert load_keyring(write(tmp_path / "key", content)) == (key,)


def test_keys_keep_their_order(tmp_path: Path) -> None:
    lines = b"\n".join([KEY.hex().encode(), b"# old", TEXT])
    assert load_keyring(write(tmp_path / "key", lines)) == (KEY, TEXT)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "contains no key"),
        (b"# nothing\n", "contains no key"),
        (KEY.hex().encode()[:-1], "line 1: not a key"),
        (KEY.hex().encode() + b" \n", "line 1: not a key"),
        (KEY.hex().encode() + b"\nsecret-but-short\n", "line 2: not a key"),
        (base64.b64encode(KEY)[:-2] + b"1=", "line 1: not a key"),
        (b"+" + base64.urlsafe_b64encode(KEY)[1:-2] + b"_=", "line 1: not a key"),
        (KEY[:31], "line 1: not a key"),
        # as many bytes as a raw key
        (TEXT[:31] + b"\n", "line 1: not a key (31 characters)"),
        (b"# key for our box, do not share\n", "contains no key"),
        (b"# key of our\n# box, not a key\n\n\n", "contains no key"),
        (b"\n" * 32, "contains no key"),
        (b"\t \r\n" * 8, "contains no key"),
        # what nobody could have drawn
        (bytes(32), "key': not a random key"),
        (b"\xff" * 32, "key': not a random key"),
        (b"a" * 32, "key': not a random key"),
        (b"a" * 32 + b"\n", "line 1: not a random key"),
        (b"# zero\n" + b"0" * 64 + b"\n", "line 2: not a random key"),
        (b"# " + b"x" * (1 << 20), "too large"),
    ],
)
def test_a_bad_key_file_is_named_and_the_key_is_not(
    tmp_path: Path, content: bytes, message: str
) -> None:
    """A13: neither lines of text nor one byte repeated is a raw key."""
    path = write(tmp_path / "key", content)
    with pytest.raises(Misconfigured) as error:
        load_keyring(path)
    assert path in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    for line in content.splitlines():
        public = line.startswith(b"#") or not line.strip()
        assert public or repr(line)[2:-1] not in str(error.value)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602])
def test_a_key_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = Path(write(tmp_path / "key", KEY.hex().encode()))
    path.chmod(mode)
    with pytest.raises(Misconfigured, match="chmod o="):
        load_keyring(str(path))


def test_a_key_file_must_be_a_regular_file(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="No such file"):
        load_keyring(str(tmp_path / "missing"))
    with pytest.raises(Misconfigured, match=r"Is a directory$"):
        load_keyring(str(tmp_path))
    with pytest.raises(Misconfigured, match="not a regular file"):
        load_keyring("/dev/zero")
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(Misconfigured, match="not a regular file"):
        load_keyring(str(tmp_path / "fifo"))
    # nor waited for where a credential should be
    (tmp_path / "fifo").rename(tmp_path / "key")
    credentials = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert find_key_file(credentials, ECB) == f"{tmp_path}/key"


def test_where_the_key_files_are_looked_for(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY)
    (tmp_path / "jwe-key").write_bytes(b"none")  # the unit's SetCredential=
    credentials = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert find_key_file(credentials, ECB) == f"{tmp_path}/key"
    assert find_key_file(credentials, JWE) is None
    assert find_key_file(credentials | {JWE: "/k"}, JWE) == "/k"
    (tmp_path / "key").unlink()
    assert find_key_file(credentials, ECB) is None
    assert find_key_file({ECB: "/k", JWE: ""}, JWE) is None


def test_which_formats_have_keys(tmp_path: Path) -> None:
    ecb = {ECB: write(tmp_path / "key", KEY)}
    jwe = {JWE: write(tmp_path / "jwe-key", TEXT)}
    assert load_keyrings(ecb) == ((KEY,), ())
    assert load_keyrings(jwe) == ((), (TEXT,))
    assert load_keyrings(ecb | jwe) == ((KEY,), (TEXT,))
    with pytest.raises(Misconfigured, match=f"no key file; set {ECB}"):
        load_keyrings({})
    with pytest.raises(Misconfigured, match="key files that the unit loads"):
        load_keyrings({"CREDENTIALS_DIRECTORY": str(tmp_path / "none")})


def test_no_key_is_for_both_formats(tmp_path: Path) -> None:
    ecb = {ECB: write(tmp_path / "key", KEY.hex().encode() + b"\n" + TEXT)}
    # written otherwise, and not the first: the same key still
    other = base64.b64encode(KEY[::-1]) + b"\n" + base64.b64encode(TEXT)
    jwe = {JWE: write(tmp_path / "jwe-key", other)}
    with pytest.raises(Misconfigured, match=r"jwe-key': shares a key with .*/key'"):
        load_keyrings(ecb | jwe)
