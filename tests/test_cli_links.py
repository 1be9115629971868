"""record-shim link and open."""

import io
import itertools
import subprocess
import time
from pathlib import Path

import pytest
from support.command import Result, Run, assert_one_line
from support.forging import encrypt_claims
from support.links import TEST_JWE_KEY, TEST_KEY, private
from support.recordings import MP3, VECTORS
from support.stack import BIN

from shim.box import layout
from shim.tokens import ecb, jwe

GOOD = VECTORS["opens"][0]
CYRILLIC = next(x for x in VECTORS["opens"] if not x["path"].isascii())
KEY = bytes.fromhex(TEST_JWE_KEY)


def test_link_and_open(
    run: Run, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = ("--key-file", str(key_file))
    assert run("link", GOOD["path"], *key) == (0, GOOD["token"] + "\n", "")
    link = f"https://storage.example.com/x/{GOOD['token']}"
    url = ("--base-url", "https://storage.example.com/x/")
    assert run("link", GOOD["path"], *key, *url) == (0, link + "\n", "")
    monkeypatch.setenv("SHIM_KEY_FILE", str(key_file))
    escaped = link.replace("=", "%3D") + "?download=1"
    for token in (GOOD["token"], link, escaped):
        assert run("open", token) == (0, GOOD["path"] + "\n", "")


def jwe_link(run: Run, *options: str) -> str:
    status, out, err = run("link", MP3, *options)
    assert (status, err) == (0, "")
    return out.strip()


def shown(run: Run, *args: str) -> dict[str, str]:
    """Return what `record-shim open` prints of a JWE link."""
    status, out, err = run("open", *args)
    assert (status, err) == (0, "")
    path, *lines = out.splitlines()
    return {"path": path} | dict(line.split(": ", 1) for line in lines)


def test_a_jwe_link_and_its_claims(run: Run, jwe_key_file: Path) -> None:
    key = ("--key-file", str(jwe_key_file))
    url = ("--base-url", "https://storage.example.com/x/")
    link = jwe_link(run, "--expires=2099-12-31T23:59:59+01:00", *key, *url)
    assert link.startswith("https://storage.example.com/x/ey")
    assert shown(run, link, *key) == {"path": MP3, "expires": "2099-12-31T22:59:59Z"}
    options = ("--filename=Звонок: 1.mp3", "--inline", *key)
    link = jwe_link(run, "--expires=2099-12-31T23:59Z", *options)
    assert shown(run, f"{link}?x=1", *key) == {
        "path": MP3,
        "expires": "2099-12-31T23:59:00Z",
        "filename": "Звонок: 1.mp3",
        "disposition": "inline",
    }
    token = encrypt_claims(KEY, {"path": MP3, "exp": 4e9, "nbf": 0.5, "iss": "api"})
    assert shown(run, token, *key) == {
        "path": MP3,
        "expires": "2096-10-02T07:06:40Z",
        "not before": "1970-01-01T00:00:00Z",
    }


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [("2s", 2), ("15m", 900), ("36h", 129_600), ("7d", 604_800)],
)
def test_durations(run: Run, jwe_key_file: Path, duration: str, seconds: int) -> None:
    before = time.time()
    token = jwe_link(run, f"--expires={duration}", f"--key-file={jwe_key_file}")
    after = time.time()
    exp = jwe.opener((KEY,))(token).exp
    assert exp == int(exp)
    assert before + seconds <= exp < after + seconds + 1


def test_an_expired_link_is_shown_and_fails(run: Run, jwe_key_file: Path) -> None:
    token = encrypt_claims(KEY, {"path": MP3, "exp": 1_764_000_000})
    status, out, err = run("open", token, "--key-file", str(jwe_key_file))
    assert status == 1
    assert out == f"{MP3}\nexpires: 2025-11-24T16:00:00Z\n"
    assert err == "record-shim: expired at 2025-11-24T16:00:00Z\n"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        *(
            (f"--expires={text}", f"--expires {text!r}: neither a duration nor a time")
            for text in ("", "7", "7w", "0d", "-7d", "1.5h", "7D", " 7d", "7d\n", "٧d")
        ),
        *(
            (f"--expires={text}", "use a duration such as 15m")
            for text in (
                "2099-12-31",
                "2099-12-31T23:59:59",
                "2099-12-31 23:59Z",
                "2099-W01-1T00:00Z",
            )
        ),
        ("--expires=2099-02-30T00:00Z", "no such time"),
        ("--expires=2099-12-31T00:00+25:00", "no such time"),
        ("--expires=2020-01-01T00:00Z", "in the past"),
        ("--expires=0001-01-01T00:00Z", "in the past"),
        ("--expires=9999-12-31T23:59-05:00", "after the year 9999"),
        ("--expires=9999999999d", "after the year 9999"),
        ("--filename=a/b.mp3", "invalid claim: filename "),
        ("--filename=", "invalid claim: filename "),
        ("--filename=\udcff.mp3", "invalid claim: filename "),
    ],
)
def test_invalid_options_of_a_jwe_link(
    run: Run, jwe_key_file: Path, option: str, message: str
) -> None:
    key = f"--key-file={jwe_key_file}"
    assert_one_line(run("link", MP3, key, "--expires=1h", option), message)


@pytest.mark.parametrize("option", ["--inline", "--filename=a.mp3"])
def test_options_that_require_expires(run: Run, key_file: Path, option: str) -> None:
    status, out, err = run("link", MP3, f"--key-file={key_file}", option)
    assert (status, out) == (2, "")
    assert "require --expires" in err


def test_the_key_file_of_the_other_format_is_noticed(
    run: Run, key_file: Path, jwe_key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHIM_KEY_FILE", str(key_file))
    monkeypatch.setenv("SHIM_JWE_KEY_FILE", str(jwe_key_file))
    token = jwe_link(run, "--expires=1h")
    for args in (
        ("link", MP3, "--expires=1h", f"--key-file={key_file}"),
        ("link", MP3, f"--key-file={jwe_key_file}"),
        ("open", token, f"--key-file={key_file}"),
        ("open", GOOD["token"], f"--key-file={jwe_key_file}"),
    ):
        file = args[-1].partition("=")[2]
        assert_one_line(run(*args), f"'{file}': used for both ECB links and JWE links")
    copy = private(key_file.with_name("copy"), key_file.read_text().upper())
    result = run("link", MP3, "--expires=1h", f"--key-file={copy}")
    assert_one_line(result, f"'{copy}': shares a key with '{key_file}'")


def test_a_format_without_a_key(
    run: Run, key_file: Path, jwe_key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHIM_JWE_KEY_FILE", str(jwe_key_file))
    token = jwe_link(run, "--expires=1h")
    assert_one_line(run("link", MP3), "set SHIM_KEY_FILE")
    assert_one_line(run("open", GOOD["token"]), "there is no key for ECB links")
    monkeypatch.delenv("SHIM_JWE_KEY_FILE")
    monkeypatch.setenv("SHIM_KEY_FILE", str(key_file))
    assert_one_line(run("link", MP3, "--expires=1h"), "set SHIM_JWE_KEY_FILE")
    assert_one_line(run("open", token), "there is no key for JWE links")


def test_the_boxs_key_files_are_the_default(
    run: Run, key_file: Path, jwe_key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"SHIM_KEY_FILE": str(key_file), "SHIM_JWE_KEY_FILE": str(jwe_key_file)}
    monkeypatch.setattr(layout, "KEY_FILES", files)
    assert run("link", GOOD["path"]) == (0, GOOD["token"] + "\n", "")
    assert shown(run, jwe_link(run, "--expires=1h"))["path"] == MP3
    wrong = run("link", MP3, "--expires=1h", f"--key-file={key_file}")
    assert_one_line(wrong, "used for both ECB links and JWE links")
    settings = key_file.with_name("settings")
    settings.write_text("SHIM_PATH_PREFIX=/var/spool/records\n")
    monkeypatch.setattr(layout, "SETTINGS", str(settings))
    # such a link would be a 404
    assert_one_line(run("link", MP3), "SHIM_PATH_PREFIX")


@pytest.mark.parametrize(
    "args",
    [
        ("link", "/a.mp3", "--key-file="),
        ("keygen", "--output="),
        ("keygen", "--rotate="),
        ("link", "/a.mp3", "--base-url="),
        ("link", "/a.mp3", "--base-url=storage.example.com"),
    ],
)
def test_an_empty_option_is_an_error(
    run: Run, key_file: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]
) -> None:
    monkeypatch.setenv("SHIM_KEY_FILE", str(key_file))
    assert_one_line(run(*args), "")


def test_a_link_from_standard_input_or_out_of_a_mail(
    run: Run, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = f"--key-file={key_file}"
    link = f" <https://storage.example.com/{GOOD['token']}>\r\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(link))
    assert run("open", key, "-") == (0, GOOD["path"] + "\n", "")
    assert run("open", key, link) == (0, GOOD["path"] + "\n", "")


def test_binary_standard_input(key_file: Path) -> None:
    result = subprocess.run(
        [BIN / "record-shim", "open", f"--key-file={key_file}", "-"],
        input=b"\xff\xfe\n",
        env={"LC_ALL": "C.UTF-8"},
        check=False,
        capture_output=True,
    )
    output = (result.stdout.decode(), result.stderr.decode())
    assert_one_line(Result(result.returncode, *output), "not base64url")


def test_a_terminal_that_cannot_write_the_name(key_file: Path) -> None:
    result = subprocess.run(
        [BIN / "record-shim", "open", f"--key-file={key_file}", CYRILLIC["token"]],
        env={"PYTHONIOENCODING": "latin-1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "\\u0" in result.stdout


def test_rotation_of_a_jwe_key(run: Run, jwe_key_file: Path) -> None:
    key = f"--key-file={jwe_key_file}"
    old = jwe_link(run, "--expires=1h", key)
    assert run("keygen", "--rotate", str(jwe_key_file)) == (0, "", "")
    new = jwe_link(run, "--expires=1h", key)
    for token in (old, new):
        assert shown(run, token, key)["path"] == MP3
    jwe_key_file.write_text(jwe_key_file.read_text().splitlines()[0])
    assert shown(run, new, key)["path"] == MP3
    assert_one_line(run("open", old, key), "made with another key")


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda v: v["why"])
def test_open_prints_the_reason_of_a_refusal(
    run: Run, key_file: Path, vector: dict[str, str]
) -> None:
    result = run("open", "--key-file", str(key_file), vector["token"])
    assert_one_line(result, "")
    assert vector["token"] not in result[2]


@pytest.mark.parametrize("path", ["/300/../x", "", "/300/", "/300/\udcff.mp3"])
def test_no_link_is_made_that_would_not_open(
    run: Run, key_file: Path, path: str
) -> None:
    assert_one_line(run("link", "--key-file", str(key_file), path), "path")


def test_the_command_applies_the_path_prefix(
    run: Run, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHIM_PATH_PREFIX", "/var/spool")
    key = ("--key-file", str(key_file))
    assert_one_line(run("link", GOOD["path"], *key), "SHIM_PATH_PREFIX")
    assert_one_line(run("open", GOOD["token"], *key), "SHIM_PATH_PREFIX")


def test_text_without_a_token_is_refused(run: Run, key_file: Path) -> None:
    for text in ("http://[x/abc", "", "/", "%ff%00", "http://a/b?c"):
        assert_one_line(run("open", "--key-file", str(key_file), text), "")


@pytest.mark.parametrize("start", ["-I", "-h", "--"])
def test_a_token_that_starts_with_a_dash(run: Run, key_file: Path, start: str) -> None:
    key = ("--key-file", str(key_file))
    keyring = (bytes.fromhex(TEST_KEY),)
    paths = (f"/300/{number}.mp3" for number in itertools.count())
    path = next(path for path in paths if ecb.seal(path, keyring).startswith(start))
    assert run("open", ecb.seal(path, keyring), *key) == (0, path + "\n", "")
