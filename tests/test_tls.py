"""https, HTTP/2 and the redirect from port 80, through real nginx and gunicorn."""

import http.client
import os
import re
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import forging
from support.certificates import Certificate, issue
from support.links import (
    TEST_JWE_KEY,
    TEST_KEY,
    Targets,
    ecb_target,
    in_an_hour,
    jwe_target,
)
from support.raw_http import fetch, get
from support.recordings import CYRILLIC, MP3
from support.stack import Stack, free_port, running
from support.waiting import wait_for

from shim.tokens import jwe

pytestmark = pytest.mark.needs("nginx", "openssl", "curl")

HOST = "storage.example.com"
CHALLENGES = "acme/.well-known/acme-challenge"
FILES = {f"{CHALLENGES}/token": "token.thumbprint", f"{CHALLENGES}/a/b": "in a"}
VERSIONS = ["--http1.1", "--http2"]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return issue(tmp_path_factory.mktemp("certificate"), HOST)


@pytest.fixture(scope="module", params=[None, "10m"], ids=["plain", "cached"])
def tls(
    request: pytest.FixtureRequest,
    recordings: dict[str, bytes],
    certificate: Certificate,
) -> Iterator[Stack]:
    with running(
        recordings,
        free_port(),
        key=TEST_KEY,
        jwe_key=TEST_JWE_KEY,
        cache_time=request.param,
        site_options=[
            f"--certificate={certificate.file}",
            f"--certificate-key={certificate.key}",
            f"--server-name={HOST.upper()}",
        ],
        files=FILES,
    ) as stack:
        yield stack


def https(stack: Stack, certificate: Certificate, *options: str) -> list[str]:
    """Return a curl command for the stack, which expects the certificate of HOST."""
    resolve = ("--resolve", f"{HOST}:{stack.port}:127.0.0.1")
    authority = ("--cacert", str(certificate.authority))
    return ["curl", "-sS", *authority, *resolve, *options]


def url(stack: Stack, target: str) -> str:
    return f"https://{HOST}:{stack.port}{target}"


def fetched(command: list[str]) -> bytes:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def assert_no_token_in_a_log(stack: Stack, target: str) -> None:
    token = target.lstrip("/").rstrip("=")
    for log in (stack.root / "logs").iterdir():
        assert token not in log.read_text(encoding="utf-8"), log.name


@pytest.mark.parametrize("version", VERSIONS)
def test_a_link_is_served_over_https(
    tls: Stack,
    certificate: Certificate,
    target_of: Targets,
    recordings: dict[str, bytes],
    version: str,
) -> None:
    link = url(tls, target_of(CYRILLIC))
    curl = https(tls, certificate, version, "-A", f"whole {version}")
    assert fetched([*curl, link]) == recordings[CYRILLIC]
    spoken = fetched([*curl, "-o", os.devnull, "-w", "%{http_version}", link])
    assert spoken == version.removeprefix("--http").encode()
    part = fetched([*curl, "-r", "100-199", link])
    assert part == recordings[CYRILLIC][100:200]
    head = fetched([*curl, "-I", link]).decode()
    assert re.match(r"HTTP/\S+ 200", head)
    length = len(recordings[CYRILLIC])
    assert re.search(rf"content-length: {length}\r", head, re.IGNORECASE)
    assert re.search(r"content-disposition: attachment; ", head, re.IGNORECASE)
    wait_for(lambda: f"whole {version}" in tls.log("record-shim.log"))
    wait_for(lambda: '"range":"bytes=100-199"' in tls.log("record-shim.log"))
    assert_no_token_in_a_log(tls, target_of(CYRILLIC))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_download_continues_where_it_stopped(
    tls: Stack,
    certificate: Certificate,
    recordings: dict[str, bytes],
    tmp_path: Path,
    version: str,
) -> None:
    file = tmp_path / "record"
    file.write_bytes(recordings[MP3][:1000])
    link = url(tls, ecb_target(MP3))
    curl = https(tls, certificate, version, "--fail", "-C", "-", "-o", str(file))
    fetched([*curl, link])
    assert file.read_bytes() == recordings[MP3]


@pytest.mark.needs("wget")
def test_wget_continues_a_download(
    tls: Stack, recordings: dict[str, bytes], tmp_path: Path
) -> None:
    file = tmp_path / "record"
    file.write_bytes(recordings[MP3][:1000])
    # wget cannot be told the address of a name
    wget = ["wget", "-q", "-c", "--no-check-certificate", "-O", str(file)]
    fetched([*wget, tls.url + ecb_target(MP3)])
    assert file.read_bytes() == recordings[MP3]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_longest_token(
    tls: Stack, certificate: Certificate, recordings: dict[str, bytes], version: str
) -> None:
    key = bytes.fromhex(TEST_JWE_KEY)
    claims = {"path": MP3, "exp": in_an_hour()}
    rest = len(forging.encrypt_claims(key, claims | {"x": ""}))
    for length, status in ((jwe.TOKEN_MAX - 2, b"200"), (jwe.TOKEN_MAX + 2, b"404")):
        padding = "x" * ((length - rest) * 3 // 4)
        target = "/" + forging.encrypt_claims(key, claims | {"x": padding})
        assert abs(len(target) - length) < 4
        curl = https(tls, certificate, version, "-o", os.devnull, "-w", "%{http_code}")
        assert fetched([*curl, url(tls, target)]) == status
        [redirect] = fetch(tls.http_port, target, headers={"Host": HOST})
        assert redirect.header("Location") == url(tls, target)


@pytest.mark.parametrize("version", VERSIONS)
def test_refusals(tls: Stack, certificate: Certificate, version: str) -> None:
    curl = https(tls, certificate, version, "-w", "%{http_code}")
    expired = jwe_target(MP3, exp=time.time() - 1)
    assert fetched([*curl, url(tls, expired)]).endswith(b"ask for a new one.\n410")
    posted = fetched([*curl, "-d", "x=1", url(tls, ecb_target(MP3))])
    assert posted == b"Method not allowed. Use GET or HEAD.\n405"
    missing = fetched([*curl, url(tls, ecb_target("/300/missing.mp3"))])
    assert missing == fetched([*curl, url(tls, "/none")])
    assert missing.endswith(b"the recording is gone.\n404")
    assert_no_token_in_a_log(tls, expired)


def test_tls_1_2_and_1_3_only(tls: Stack) -> None:
    def spoken(version: ssl.TLSVersion) -> str | None:
        context = ssl._create_unverified_context()
        # openssl's own default refuses to offer older versions
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        connection = http.client.HTTPSConnection(
            "127.0.0.1", tls.port, timeout=20, context=context
        )
        try:
            connection.connect()
            assert isinstance(connection.sock, ssl.SSLSocket)
            return connection.sock.version()
        finally:
            connection.close()

    assert spoken(ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    assert spoken(ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    with pytest.warns(DeprecationWarning), pytest.raises(ssl.SSLError):
        spoken(ssl.TLSVersion.TLSv1_1)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_port_80_redirects_to_https(tls: Stack, method: str) -> None:
    target = ecb_target(MP3) + "?download=1&x=%0d%0a"
    [answer] = fetch(tls.http_port, target, method, headers={"Host": HOST})
    assert answer.status == 301
    assert answer.header("Location") == url(tls, target)
    assert answer.header("Cache-Control") == "no-store"
    assert answer.header("Referrer-Policy") == "no-referrer"
    assert answer.header("Server") == "nginx"
    assert ecb_target(MP3)[1:] not in answer.body.decode()
    before = tls.log("record-shim.log")
    assert_no_token_in_a_log(tls, ecb_target(MP3))
    # nginx itself finds something wrong with these
    for headers in ({"Host": HOST, "a b": "c"}, {"Host": "a b"}, {"x": "x" * 9000}):
        fetch(tls.http_port, target, method, headers=headers)
    fetch(tls.http_port, ecb_target(MP3) + "x" * 9000, method)
    assert_no_token_in_a_log(tls, ecb_target(MP3))
    assert tls.log("record-shim.log") == before


def test_the_redirect_leads_to_this_host_whatever_the_client_sends(tls: Stack) -> None:
    for target, host in (
        ("/x", "evil.example"),
        ("//evil.example/x", HOST),
        ("/\\evil.example", HOST),
        ("http://evil.example/x", "evil.example"),
        ("/@evil.example", HOST),
    ):
        answer = get(tls.http_port, target, Host=host)
        location = answer.header("Location") or ""
        assert location.startswith(f"https://{HOST}:{tls.port}/"), target


def test_plain_http_on_the_tls_port_is_redirected_too(tls: Stack) -> None:
    target = ecb_target(MP3)
    answer = get(tls.port, target, User_Agent="plain http")
    assert answer.status == 301
    assert answer.header("Location") == url(tls, target)
    assert answer.header("Cache-Control") == "no-store"
    wait_for(lambda: "plain http" in tls.log("record-shim.log"))
    assert_no_token_in_a_log(tls, target)


def test_a_certificate_without_a_server_name(certificate: Certificate) -> None:
    options = [
        f"--certificate={certificate.file}",
        f"--certificate-key={certificate.key}",
    ]
    with running({}, free_port(), site_options=options) as stack:
        answer = get(stack.http_port, "/x?y", Host="Other.example:8080")
        location = f"https://other.example:{stack.port}/x?y"
        assert answer.header("Location") == location


def assert_challenges_are_served(port: int) -> None:
    path = "/.well-known/acme-challenge"
    answer = get(port, f"{path}/token", Host=HOST)
    assert (answer.status, answer.body) == (200, b"token.thumbprint")
    assert answer.header("Content-Type") == "text/plain"
    missing = get(port, f"{path}/missing", Host=HOST).without("Date")
    assert missing.status == 404
    assert missing.body.endswith(b"the recording is gone.\n")
    for target in ("/", "/a", "/a/"):
        answer = get(port, path + target, Host=HOST)
        assert answer.without("Date") == missing, target
    for target in ("..%2f..%2f..%2fkey", "%2e%2e/%2e%2e/key", "%252e%252e/key"):
        answer = get(port, f"{path}/{target}", Host=HOST)
        assert answer.status in (301, 400, 404), target


def test_challenges_with_a_certificate(tls: Stack) -> None:
    assert_challenges_are_served(tls.http_port)


@pytest.mark.parametrize("cache_time", [None, "10m"], ids=["plain", "cached"])
def test_challenges_without_a_certificate(cache_time: str | None) -> None:
    # whoever may fetch recordings
    files = FILES | {"nginx.d/deny.conf": "deny all;\n"}
    with running({}, free_port(), cache_time=cache_time, files=files) as stack:
        assert_challenges_are_served(stack.port)
        missing = get(stack.port, "/.well-known/acme-challenge/missing")
        assert missing.without("Date") == get(stack.port, "/none").without("Date")
