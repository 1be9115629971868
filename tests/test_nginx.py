"""What a client sees, through real nginx and gunicorn."""

import base64
import contextlib
import json
import os
import pwd
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from support.checkout import CHECKOUT
from support.links import TEST_JWE_KEY, TEST_KEY, Format, Targets, ecb_target
from support.raw_http import Answer, fetch, get
from support.recordings import BIG, CYRILLIC, LONG, MP3, OTHER_FILES, VECTORS
from support.stack import Stack, free_port, running
from support.waiting import wait_for

from shim.tokens import ecb, jwe

pytestmark = pytest.mark.needs("nginx")

ADDED = (
    "Content-Disposition",
    "X-Content-Type-Options",
    "Content-Security-Policy",
    "Content-Security-Policy",
    "Referrer-Policy",
    "Cache-Control",
)
SECURITY = CHECKOUT / "docs/security.md"


@pytest.mark.parametrize("vector", VECTORS["opens"], ids=lambda v: v["path"][:40])
def test_every_vector_is_fetched_byte_for_byte(
    stack: Stack,
    target_of: Targets,
    recordings: dict[str, bytes],
    vector: dict[str, str],
) -> None:
    answer = get(stack.port, target_of(vector["path"]))
    assert answer.body == recordings[vector["path"]]
    answer = get(stack.port, "/" + vector["token"])
    assert answer.status == 200
    assert answer.body == recordings[vector["path"]]
    assert not (answer.header("Content-Type") or "").startswith("text/html")
    name = vector["path"].rpartition("/")[2]
    disposition = answer.header("Content-Disposition") or ""
    assert f"filename*=UTF-8''{quote(name)}" in disposition or (
        disposition == f'attachment; filename="{name}"'
    )


def test_the_headers_of_a_recording(stack: Stack, target_of: Targets) -> None:
    answer = get(stack.port, target_of(MP3))
    assert answer.header("Content-Type") == "audio/mpeg"
    assert answer.header("Accept-Ranges") == "bytes"
    assert answer.header("ETag")
    assert answer.header("Last-Modified")
    assert answer.header("X-Content-Type-Options") == "nosniff"
    policy = answer.header("Content-Security-Policy")
    assert policy == "script-src 'none'; object-src 'none'"
    assert answer.header("Referrer-Policy") == "no-referrer"
    assert (answer.header("Cache-Control") or "").startswith("private")
    assert [x for x, _ in answer.headers if x.startswith(("X-Accel", "X-Record"))] == []
    assert answer.header("Server") == "nginx"


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        (BIG, "audio/wav"),
        ("/300/no-extension", "application/octet-stream"),
        (MP3, "audio/mpeg"),
    ],
)
def test_content_types_come_from_nginx(
    stack: Stack, target_of: Targets, path: str, content_type: str
) -> None:
    assert get(stack.port, target_of(path)).header("Content-Type") == content_type


def test_a_query_string(
    stack: Stack, target_of: Targets, recordings: dict[str, bytes]
) -> None:
    target = target_of(CYRILLIC) + "?download=1&x=%0d%0a"
    assert get(stack.port, target).body == recordings[CYRILLIC]


def test_padding_of_ecb_tokens(stack: Stack, recordings: dict[str, bytes]) -> None:
    path = VECTORS["opens"][1]["path"]
    target = ecb_target(path)
    assert target.endswith("==")
    for form in (target, target.rstrip("="), target.replace("=", "%3D")):
        assert get(stack.port, form).body == recordings[path]


def test_a_long_path_of_multibyte_characters(
    stack: Stack, target_of: Targets, recordings: dict[str, bytes]
) -> None:
    assert get(stack.port, target_of(LONG)).body == recordings[LONG]


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda v: v["why"])
def test_refused_vectors(stack: Stack, vector: dict[str, str]) -> None:
    answer = get(stack.port, "/" + vector["token"])
    assert answer.status == 404
    assert answer.without("Date") == get(stack.port, "/none").without("Date")


SAME_404 = {
    "missing file": lambda x: x.target_of("/300/missing.mp3"),
    "missing directory": lambda x: x.target_of("/nowhere/missing.mp3"),
    "a file taken for a directory": lambda x: x.target_of(MP3 + "/x.mp3"),
    "directory": lambda x: x.target_of("/300"),
    **{
        f"dotfile {path}": lambda x, path=path: x.unchecked(path)
        for path in OTHER_FILES
    },
    "below the records": lambda x: x.unchecked("/300/../../logs/endpoint.log"),
    "longer than the file system allows": lambda x: x.target_of(
        "/".join(["a" * 250] * 16)
    ),
    **{
        path: lambda _, path=path: path
        for path in ("/_records", "/_records/", "/_records" + MP3, "/_records/300")
    },
    "with a final newline": lambda x: x.target_of(MP3) + "%0A",
    "with a slash": lambda x: x.target_of(MP3) + "/",
    "too short": lambda _: "/abc",
    "too long": lambda _: "/" + "A" * (jwe.TOKEN_MAX + 4),
    "four dots": lambda _: "/....",
    "two segments": lambda x: "/x" + x.target_of(MP3),
}


@pytest.mark.parametrize("case", SAME_404)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_nothing_tells_one_404_from_another(
    stack: Stack, format_: Format, case: str, method: str
) -> None:
    [answer] = fetch(stack.port, SAME_404[case](format_), method)
    [reference] = fetch(stack.port, "/none", method)
    assert answer.status == 404
    assert answer.without("Date") == reference.without("Date")


def test_blocks_of_two_ecb_links_make_a_third(stack: Stack) -> None:
    """What docs/security.md says of ECB: 16 bytes of a path are a block of its token."""
    held = [
        "/300/2017-02-17-11-05-04_in_300.mp3",
        "/300/2018-03-18-12-06-05_in_301.mp3",
    ]
    never_linked = "/300/2017-02-17-12-06-05_in_301.mp3"
    (stack.records / never_linked.lstrip("/")).write_bytes(b"of somebody else")
    one, other = (base64.urlsafe_b64decode(ecb_target(x)[1:]) for x in held)
    spliced = base64.urlsafe_b64encode(one[:16] + other[16:]).decode()
    assert ecb.opener((bytes.fromhex(TEST_KEY),))(spliced) == never_linked
    assert get(stack.port, f"/{spliced}").body == b"of somebody else"
    # and no key is needed to see which links are of one directory and day
    same_day = ecb_target("/300/2017-02-17-23-59-59_out_317.mp3")
    assert base64.urlsafe_b64decode(same_day[1:])[:16] == one[:16]


def test_an_unreadable_recording_is_a_404_too(stack: Stack, target_of: Targets) -> None:
    file = stack.records / "300/unreadable.mp3"
    file.unlink(missing_ok=True)
    file.write_bytes(b"x")
    file.chmod(0)
    file.parent.joinpath("closed").mkdir(mode=0o700, exist_ok=True)
    closed = file.parent / "closed/a.mp3"
    closed.write_bytes(b"x")
    closed.parent.chmod(0)
    reference = get(stack.port, "/none").without("Date")
    assert (
        get(stack.port, target_of("/300/unreadable.mp3")).without("Date") == reference
    )
    assert get(stack.port, target_of("/300/closed/a.mp3")).without("Date") == reference
    closed.parent.chmod(0o700)


def test_only_a_regular_file_is_a_recording(stack: Stack, target_of: Targets) -> None:
    """A9: a socket, a FIFO, a device or a broken link is the same 404 in both forms."""
    directory = stack.records / "300/special"
    directory.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(directory / "socket.mp3"))
        try:
            os.mkfifo(directory / "fifo.mp3")
            (directory / "device.mp3").symlink_to("/dev/zero")
            (directory / "broken.mp3").symlink_to("nowhere.mp3")
            (directory / "loop.mp3").symlink_to("loop.mp3")
            reference = get(stack.port, "/none").without("Date")
            for file in directory.iterdir():
                target = target_of(f"/300/special/{file.name}")
                assert get(stack.port, target).without("Date") == reference, file
        finally:
            shutil.rmtree(directory)


def test_a_symbolic_link_leads_wherever_nginx_may_read(
    stack: Stack, target_of: Targets
) -> None:
    """A8: what docs/security.md says of symbolic links."""
    link = stack.records / "300/link.mp3"
    link.symlink_to("/etc/passwd")
    try:
        body = get(stack.port, target_of("/300/link.mp3")).body
        assert body == Path("/etc/passwd").read_bytes()
    finally:
        link.unlink()


@pytest.mark.parametrize("cache_time", [None, "10m"], ids=["plain", "cached"])
def test_symbolic_links_to_other_owners_can_be_refused(
    cache_time: str | None, target_of: Targets
) -> None:
    """A8: the line for it in docs/security.md, also if the directory is itself a link."""
    keys = {"key": TEST_KEY, "jwe_key": TEST_JWE_KEY}
    content = {"/300/a.mp3": b"a"}
    with running(content, free_port(), **keys, cache_time=cache_time) as stack:
        elsewhere = stack.root / "elsewhere"
        stack.records.rename(elsewhere)
        stack.records.symlink_to(elsewhere)
        (elsewhere / "300/link.mp3").symlink_to("/etc/passwd")
        (elsewhere / "300/same.mp3").symlink_to("a.mp3")
        (elsewhere / "400").symlink_to("300")
        if os.getuid() == 0:
            nobody = pwd.getpwnam("nobody").pw_uid
            for link in (stack.records, elsewhere / "300/link.mp3"):
                os.lchown(link, nobody, -1)
        paths = ("/300/a.mp3", "/300/same.mp3", "/400/a.mp3", "/300/link.mp3")

        def statuses() -> list[int]:
            return [get(stack.port, target_of(path)).status for path in paths]

        assert statuses() == [200, 200, 200, 200]
        line = re.findall(r"`(disable_symlinks .*;)`", SECURITY.read_text("utf-8"))[0]
        line = line.replace("/srv/records", str(stack.records))
        stack.reconfigure("    sendfile on;\n", f"    sendfile on;\n    {line}\n")
        assert statuses() == [200, 200, 200, 404]


def test_an_impossible_token_does_not_reach_the_endpoint(
    stack: Stack, target_of: Targets
) -> None:
    before = stack.log("endpoint.log")
    for target in (
        "/",
        "/abc",
        target_of(MP3) + "%0A",
        "/_records/x",
        "/" + "A" * 6000,
    ):
        get(stack.port, target)
    get(stack.port, "/" + "A" * 24)
    wait_for(lambda: stack.log("endpoint.log") != before)
    assert stack.log("endpoint.log").removeprefix(before).count("\n") == 1


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "TRACE"]
)
def test_other_methods(stack: Stack, target_of: Targets, method: str) -> None:
    for target in (target_of(MP3), "/none", "/_records/300"):
        [answer] = fetch(stack.port, target, method)
        assert answer.status == 405
        assert answer.header("Allow") == "GET, HEAD"


def test_a_large_body_is_a_405_too(stack: Stack, target_of: Targets) -> None:
    [answer] = fetch(stack.port, target_of(MP3), "POST", body=b"x" * 2_000_000)
    assert answer.status == 405


RANGES = [
    "bytes=0-0",
    "bytes=100-199",
    "bytes=5000-",
    "bytes=-500",
    "bytes=0-9,20-29,-5",
    "bytes=0-99999999",
    "bytes=99999999-",
    "bytes=9-1",
    "bytes=0-1,1-2,2-3,3-4,4-5",
    "items=0-1",
    "bytes=",
]


def battery(etag: str, modified: str) -> Iterator[dict[str, str]]:
    yield {}
    for value in RANGES:
        yield {"Range": value}
    old = "Mon, 01 Jan 2001 00:00:00 GMT"
    for validator in (etag, modified, '"other"', old, "W/" + etag):
        yield {"Range": "bytes=10-19", "If-Range": validator}
    for value in (etag, "W/" + etag, '"other"', "*", f'"other", {etag}'):
        yield {"If-None-Match": value}
        yield {"If-Match": value}
    for value in (modified, old, "not a date"):
        yield {"If-Modified-Since": value}
        yield {"If-Unmodified-Since": value}
    yield {"If-None-Match": etag, "Range": "bytes=0-9"}
    yield {"Accept-Encoding": "gzip, br", "Accept": "audio/ogg"}


@pytest.mark.parametrize("path", [MP3, CYRILLIC, "/300/100% sure?.mp3", BIG])
def test_the_same_as_the_file_served_statically(
    stack: Stack, target_of: Targets, path: str
) -> None:
    static_port = stack.static_port
    assert static_port
    served = get(static_port, quote(path))
    etag, modified = served.header("ETag"), served.header("Last-Modified")
    assert etag and modified
    statuses = set()
    for headers in battery(etag, modified):
        for method, version, times in (
            ("GET", "1.1", 1),
            ("HEAD", "1.1", 1),
            ("GET", "1.0", 1),
            ("GET", "1.0", 3),
            ("GET", "1.1", 3),
        ):
            request = (method, headers, version, times)
            linked = fetch(stack.port, target_of(path), *request)
            static = fetch(static_port, quote(path), *request)
            assert linked[0].status != 200 or len(linked) == times
            for ours, nginxs in zip(linked, static, strict=True):
                statuses.add(ours.status)
                assert comparable(ours) == comparable(nginxs), request
    assert statuses == {200, 206, 304, 412, 416}


def comparable(answer: Answer) -> tuple[int, list[tuple[str, str]], bytes]:
    plain = answer.without("Date", *ADDED).with_fixed_boundary()
    return plain.status, sorted(plain.headers), plain.body


def test_the_endpoint_down_is_a_503_and_back_is_a_200(
    stack: Stack, target_of: Targets
) -> None:
    target = target_of(MP3)
    known = get(stack.port, target)
    # never asked for before, so that no form of the site can know it
    fresh = target_of(f"//{MP3}")
    stack.stop_endpoint()
    try:
        again = get(stack.port, target)
        if stack.cache_time:
            assert comparable(again) == comparable(known)
        else:
            assert again.status == 503
        for method in ("GET", "HEAD"):
            [answer] = fetch(stack.port, fresh, method)
            assert answer.status == 503
            assert int(answer.header("Retry-After") or 0) > 0
            assert answer.header("Content-Disposition") is None
        assert get(stack.port, "/none").status == 404
    finally:
        stack.start_endpoint()
    assert get(stack.port, fresh).status == 200


def test_the_audit_log(stack: Stack, target_of: Targets) -> None:
    [other_key] = [x for x in VECTORS["refused"] if "another key" in x["why"]]
    agent = 'player "1"\\'
    [answer] = fetch(
        stack.port,
        target_of(CYRILLIC),
        headers={"Range": "bytes=10-19", "User-Agent": agent},
    )
    assert answer.status == 206
    not_utf8 = {"User_Agent": "not UTF-8: \xff", "Range": "\xff"}
    get(stack.port, target_of(MP3), **not_utf8)
    wait_for(lambda: '"range":"-"' in stack.log("record-shim.log"))
    get(stack.port, "/" + other_key["token"], User_Agent="refused")
    wait_for(lambda: '"user_agent":"refused"' in stack.log("record-shim.log"))
    lines = [json.loads(line) for line in stack.log("record-shim.log").splitlines()]
    assert ("-", "-") in {(line["user_agent"], line["range"]) for line in lines}
    fetched = next(line for line in lines if line["user_agent"] == agent)
    assert fetched["record"] == "/_records" + quote(CYRILLIC)
    assert fetched["client"] == "127.0.0.1"
    assert (fetched["status"], fetched["bytes"]) == (206, 10)
    assert fetched["range"] == "bytes=10-19"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", fetched["time"])
    assert fetched["seconds"] >= 0
    refused = next(line for line in lines if line["user_agent"] == "refused")
    assert (refused["status"], refused["record"]) == (404, "")
    reason = f"refused: code=wrong_key request={refused['request_id']}: "
    wait_for(lambda: reason in stack.log("endpoint.log"))


def test_no_log_holds_a_token(stack: Stack, target_of: Targets) -> None:
    tokens = [vector["token"] for vector in VECTORS["opens"] + VECTORS["refused"]]
    tokens += [target_of(x)[1:] for x in (MP3, "/300/missing.mp3", "/300")]
    for text in tokens:
        get(stack.port, "/" + text, User_Agent="last")
        fetch(stack.port, "/" + text, "DELETE")
    stack.stop_endpoint()
    try:
        tokens.append(target_of("/300/fresh.mp3")[1:])
        assert get(stack.port, "/" + tokens[-1]).status == 503
    finally:
        stack.start_endpoint()
    logs = list((stack.root / "logs").iterdir())
    assert len(logs) >= 3
    for log in logs:
        text = log.read_text("utf-8")
        for secret in tokens:
            assert secret.rstrip("=") not in text, f"{log.name} holds a token"


@pytest.mark.needs("curl", "pkill")
def test_a_worker_that_is_aborted_logs_no_token(
    stack: Stack, target_of: Targets
) -> None:
    """gunicorn's own answer to a worker that hangs; it happens amid a request."""
    assert stack.endpoint
    # all different, so that all of them reach the endpoint
    tokens = [target_of(f"/300/{number}.mp3") for number in range(20_000)]
    urls = "".join(f'url = "{stack.url}{x}"\noutput = /dev/null\n' for x in tokens)
    with subprocess.Popen(
        ["curl", "-sS", "-Z", "--parallel-max", "50", "-K", "-"],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as load:
        assert load.stdin
        load.stdin.write(urls.encode())
        load.stdin.close()
        for how in ("ABRT", "QUIT") * 8:
            booted = stack.log("endpoint.log").count("Booting worker")
            subprocess.run(
                ["pkill", f"-{how}", "-P", str(stack.endpoint.pid)], check=False
            )
            wait_for(
                lambda booted=booted: (
                    stack.log("endpoint.log").count("Booting worker") > booted
                )
            )
        assert load.poll() is None, "the load ended before the signals"
        load.kill()
    log = stack.log("endpoint.log")
    assert [x for x in tokens if x[1:].rstrip("=") in log] == []
    wait_for(lambda: get(stack.port, target_of(MP3)).status == 200)


@pytest.mark.parametrize(
    ("start", "resume"),
    [
        ("curl -sS", "curl -sS --fail -C - -o"),
        ("wget -q -O -", "wget -q -c -O"),
    ],
    ids=["curl", "wget"],
)
@pytest.mark.needs("curl", "wget")
def test_a_broken_download_is_resumed(
    stack: Stack,
    target_of: Targets,
    recordings: dict[str, bytes],
    tmp_path: Path,
    start: str,
    resume: str,
) -> None:
    file, link = tmp_path / "download", stack.url + target_of(BIG)
    # the reader goes away in the middle, and the client with it
    broken = f"{start} {link} 2>/dev/null | head -c 100000 > {file}"
    subprocess.run(["bash", "-c", broken], check=True)
    assert file.stat().st_size == 100_000
    subprocess.run([*resume.split(), str(file), link], check=True)
    assert file.read_bytes() == recordings[BIG]
    resumed = f'"status":206,"bytes":{len(recordings[BIG]) - 100_000},'
    wait_for(lambda: resumed in stack.log("record-shim.log"))


@pytest.mark.needs("wget")
def test_wget_saves_under_the_records_own_name(
    stack: Stack, target_of: Targets, recordings: dict[str, bytes], tmp_path: Path
) -> None:
    subprocess.run(
        ["wget", "-q", "--content-disposition", stack.url + target_of(CYRILLIC)],
        cwd=tmp_path,
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
        check=True,
    )
    [file] = tmp_path.iterdir()
    assert file.name == CYRILLIC.rpartition("/")[2]
    assert file.read_bytes() == recordings[CYRILLIC]


@pytest.mark.needs("curl")
def test_a_hundred_connections_at_once(
    stack: Stack, target_of: Targets, recordings: dict[str, bytes], tmp_path: Path
) -> None:
    paths = [vector["path"] for vector in VECTORS["opens"]] * 10
    lines = [
        f'url = "{stack.url}{target_of(path)}"\noutput = "{tmp_path}/{number}"'
        for number, path in enumerate(paths)
    ]
    subprocess.run(
        ["curl", "-sS", "--fail", "-Z", "--parallel-max", "100", "-K", "-"],
        input="\n".join(lines).encode(),
        check=True,
    )
    for number, path in enumerate(paths):
        assert (tmp_path / str(number)).read_bytes() == recordings[path]


@contextlib.contextmanager
def hostile(content: dict[str, bytes], cache_time: str | None) -> Iterator[Stack]:
    """Serve `content` with a compromised endpoint (support/hostile.py)."""
    with running(content, free_port(), cache_time=cache_time) as stack:
        stack.stop_endpoint()
        stack.start_endpoint(
            "--pythonpath", str(Path(__file__).parent), "support.hostile:app"
        )
        yield stack


def get_answered(stack: Stack, headers: dict[str, str]) -> Answer:
    """Return nginx's answer when the compromised endpoint answers `headers`."""
    token = base64.urlsafe_b64encode(json.dumps(headers).encode()).decode()
    return get(stack.port, f"/{token}")


def test_a_forged_record_header_opens_nothing() -> None:
    """Only the cached form has it. Without the map's pattern, the first six would open."""
    content = {"/300/a.mp3": b"a", "/300/.b/a.mp3": b"hidden"}
    with hostile(content, "10m") as stack:

        def answer(record: str) -> Answer:
            headers = {"X-Accel-Redirect": "/_records/300/a.mp3", "X-Record": record}
            return get_answered(stack, headers)

        assert answer("/300/a.mp3/").body == b"a"
        for record in (
            "/300//a.mp3/",
            "//300/a.mp3/",
            "/./300/a.mp3/",
            "/300/./a.mp3/",
            "/300/.b/a.mp3/",
            "/300/../300/a.mp3/",
            "300/a.mp3/",
            "/300/a.mp3",
            "/300/a.mp3//",
            "/300/a.mp3/\x85",
            "/a" * 2000,
            "/",
            "",
        ):
            assert answer(record).status == 404, record
        # where nginx would log that it hit PCRE's limit of backtracking
        assert "pcre" not in stack.log("nginx.error.log")


@pytest.mark.parametrize("cache_time", [None, "10m"])
def test_an_endpoint_that_was_taken_over_reaches_records_and_nothing_else(
    cache_time: str | None,
) -> None:
    content = {"/300/a.mp3": b"a", "/300/b/c.mp3": b"c"}
    with hostile(content, cache_time) as stack:
        (stack.root / "secret").write_bytes(b"secret")
        (stack.root / "secret").chmod(0o644)

        def answer(path: str, prefix: str = "/_records") -> Answer:
            headers = {"X-Accel-Redirect": prefix + path, "X-Record": path + "/"}
            return get_answered(stack, headers)

        assert answer("/300/a.mp3").body == b"a"
        for path in (
            "/../secret",
            "/300/../../secret",
            "/%2e%2e/secret",
            "/300/b/../../../secret",
            "/./../secret",
            "//../secret",
            f"/../..{stack.root}/secret",
            "/300",
            "/300/",
            "",
        ):
            for prefix in ("/_records", ""):
                found = answer(path, prefix)
                assert (found.status, b"secret" in found.body) == (404, False), path


@pytest.mark.parametrize("cache_time", [None, "10m"])
def test_settings(cache_time: str | None, target_of: Targets) -> None:
    settings = {
        "SHIM_INTERNAL_PREFIX": "/x-files/",
        "SHIM_PATH_PREFIX": "/var/spool/records",
        "SHIM_DISPOSITION": "inline",
    }
    content = {"/300/a.mp3": b"a", "/var/spool/records/300/a.mp3": b"not this one"}
    with running(
        content,
        free_port(),
        key=TEST_KEY,
        jwe_key=TEST_JWE_KEY,
        settings=settings,
        cache_time=cache_time,
    ) as stack:
        answer = get(stack.port, target_of("/var/spool/records/300/a.mp3"))
        assert answer.body == b"a"
        assert answer.header("Content-Disposition") == 'inline; filename="a.mp3"'
        for target in (target_of("/300/a.mp3"), "/x-files/300/a.mp3"):
            assert get(stack.port, target).status == 404
        line = '"record":"/x-files/300/a.mp3"'
        wait_for(lambda: line in stack.log("record-shim.log"))


def test_cached_tokens_expire(target_of: Targets) -> None:
    content, keys = {"/300/a.mp3": b"a"}, {"key": TEST_KEY, "jwe_key": TEST_JWE_KEY}
    with running(content, free_port(), **keys, cache_time="2s") as stack:
        target = target_of("/300/a.mp3")
        assert get(stack.port, target).status == 200
        stack.stop_endpoint()
        try:
            assert get(stack.port, target).status == 200
            wait_for(lambda: get(stack.port, target).status == 503)
        finally:
            stack.start_endpoint()


def test_records_are_read_in_threads_and_the_cache_is_not(stack: Stack) -> None:
    """tests/box/test_slow_disk.py shows what the threads are for."""
    dump = subprocess.run(
        ["nginx", "-p", stack.root, "-c", "nginx.conf", "-T"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    locations = re.findall(
        r"^    location (?:.(?!^    \}))*", dump, re.MULTILINE | re.DOTALL
    )
    threads = [text for text in locations if "\n        aio threads;" in text]
    # the locations with the records directory; the cached form has a second one
    assert len(threads) == (2 if stack.cache_time else 1)
    assert all(f'"{stack.records}' in text for text in threads)
    cache = [text for text in locations if "proxy_cache record_shim;" in text]
    if stack.cache_time:
        [asking] = cache
        assert "\n        aio off;" in asking
    else:
        assert cache == []


@pytest.mark.parametrize("cache_time", [None, "10m"], ids=["plain", "cached"])
def test_a_worker_reads_records_in_its_thread_pool(
    cache_time: str | None, target_of: Targets
) -> None:
    keys = {"key": TEST_KEY, "jwe_key": TEST_JWE_KEY}
    content = {"/300/a.mp3": b"a"}
    with running(content, free_port(), **keys, cache_time=cache_time) as stack:
        assert get(stack.port, target_of("/300/a.mp3")).status == 200
        main = (stack.root / "nginx.pid").read_text().strip()
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        tasks = [len(list(Path(f"/proc/{x}/task").iterdir())) for x in children]
        # nginx starts the 32 threads of a pool only where a location uses it
        assert max(tasks) == 33
