"""Tokens made by programs in other languages, and by other implementations of JWE."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from joserfc import jwt
from joserfc.jwe import JWERegistry
from joserfc.jwk import OctKey
from support.checkout import CHECKOUT
from support.links import TEST_JWE_KEY, TEST_KEY
from support.raw_http import get
from support.recordings import CYRILLIC, DATA, MP3, VECTORS
from support.stack import Stack

from shim.tokens import ecb, jwe
from shim.tokens.claims import Claims

PAGE = CHECKOUT / "docs" / "links.md"
KEY = bytes.fromhex(TEST_JWE_KEY)
FILENAME = 'Звонок "1" <&> \\ 2/2'.replace("/", "-")

ISSUERS = {
    "link.py": [sys.executable],
    "link.php": ["php"],
    "link.mjs": ["node"],
    "link.go": ["go", "run"],
    "Link.java": ["java"],
    "link.sh": ["bash"],
}
NEEDS = {
    "link.py": [],
    "link.php": ["php"],
    "link.mjs": ["node"],
    "link.go": ["go"],
    "Link.java": ["javac"],
    "link.sh": ["openssl"],
}
ECB_ISSUERS = [pytest.param(x, marks=pytest.mark.needs(*NEEDS[x])) for x in ISSUERS]
# the openssl command has no GCM
JWE_ISSUERS = [x for x in ECB_ISSUERS if x.values != ("link.sh",)]


@pytest.fixture(scope="session")
def issuer_environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    # go needs a directory for compiled packages
    cache = str(tmp_path_factory.mktemp("go"))
    return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "GOCACHE": cache}


def issue(issuer_environ: dict[str, str], name: str, *args: object) -> str:
    result = run_issuer(issuer_environ, name, *args)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.strip()


def run_issuer(
    issuer_environ: dict[str, str], name: str, *args: object
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ISSUERS[name], DATA / "issuers" / name, *map(str, args)],
        env=issuer_environ,
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("name", ECB_ISSUERS)
def test_an_ecb_link(
    stack: Stack,
    recordings: dict[str, bytes],
    issuer_environ: dict[str, str],
    key_file: Path,
    name: str,
) -> None:
    # the first path is exactly one block long, the others end within a block
    for path in ("/300/sixteen.mp3", MP3, CYRILLIC):
        token = issue(issuer_environ, name, key_file, path)
        expected = ecb.seal(path, (bytes.fromhex(TEST_KEY),))
        assert token.rstrip("=") == expected.rstrip("=")
    assert get(stack.port, f"/{token}").body == recordings[CYRILLIC]


@pytest.mark.parametrize("name", JWE_ISSUERS)
def test_a_jwe_link(
    stack: Stack,
    recordings: dict[str, bytes],
    issuer_environ: dict[str, str],
    jwe_key_file: Path,
    name: str,
) -> None:
    before = int(time.time())
    token = issue(issuer_environ, name, jwe_key_file, CYRILLIC, 3600, FILENAME)
    claims = jwe.opener((KEY,))(token)
    assert claims == Claims(CYRILLIC, claims.exp, filename=FILENAME)
    assert before + 3600 <= (claims.exp or 0) <= time.time() + 3600
    answer = get(stack.port, f"/{token}")
    assert answer.body == recordings[CYRILLIC]
    disposition = answer.header("Content-Disposition") or ""
    assert disposition.endswith(f"filename*=UTF-8''{quote(FILENAME)}")
    expired = issue(issuer_environ, name, jwe_key_file, MP3, 0, FILENAME)
    assert get(stack.port, f"/{expired}").status == 410


@pytest.mark.parametrize("name", ECB_ISSUERS)
@pytest.mark.parametrize("text", ["", TEST_KEY[:32], f"{TEST_KEY}\n{TEST_KEY}\n", None])
def test_an_incomplete_key_is_refused(
    issuer_environ: dict[str, str], key_file: Path, name: str, text: str | None
) -> None:
    """PHP's openssl and the openssl command would pad a short key with zero bytes."""
    key_file.write_text(text or "")
    if text is None:
        key_file.unlink()
    for args in ([], ["60", "a.mp3"][: 2 * (name != "link.sh")]):
        result = run_issuer(issuer_environ, name, key_file, MP3, *args)
        assert result.returncode != 0
        assert result.stdout == ""


def test_the_page_shows_exactly_these_files() -> None:
    blocks = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    shown = {text for _, text in blocks}
    files = {x.name: x.read_text("utf-8") for x in (DATA / "issuers").glob("*.*")}
    assert set(files) == set(ISSUERS)
    assert [name for name, text in files.items() if text not in shown] == []


FOREIGN_CLAIMS = [
    Claims(MP3, 4_000_000_000),
    Claims(CYRILLIC, 4_000_000_000.5, 1_000_000_000, FILENAME, "inline"),
    *(Claims(x["path"], 4_000_000_000) for x in VECTORS["opens"]),
]


def members(claims: Claims) -> dict[str, object]:
    return {key: value for key, value in claims._asdict().items() if value is not None}


@pytest.mark.parametrize("claims", FOREIGN_CLAIMS)
def test_joserfc_agrees(claims: Claims) -> None:
    key, header = OctKey.import_key(KEY), {"alg": "dir", "enc": "A256GCM"}
    theirs = jwt.encode(header, members(claims), key, registry=JWERegistry())
    assert jwe.opener((KEY,))(theirs) == claims
    opened = jwt.decode(jwe.seal(claims, (KEY,)), key, registry=JWERegistry())
    assert opened.claims == members(claims)
    assert opened.header == header


def jose(**request: object) -> str:
    return subprocess.run(
        ["node", "--input-type=module"],
        # where ./run installs npm's packages
        cwd=sys.prefix,
        env=os.environ | {"REQUEST": json.dumps({"key": TEST_JWE_KEY} | request)},
        input=(DATA / "foreign.mjs").read_text("utf-8"),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.strip()


@pytest.mark.needs("node", "npm:jose@5")
@pytest.mark.parametrize("claims", FOREIGN_CLAIMS[:2])
def test_jose_agrees(claims: Claims) -> None:
    assert jwe.opener((KEY,))(jose(claims=members(claims))) == claims
    assert json.loads(jose(token=jwe.seal(claims, (KEY,)))) == members(claims)
