import io
import itertools
import os
import re
import stat
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from support.forging import encrypt_claims
from support.links import TEST_JWE_KEY, TEST_KEY, private
from support.recordings import VECTORS
from support.stack import BIN, free_port

from shim.box import layout
from shim.box.templates import nginx_site
from shim.cli import main
from shim.tokens import ecb, jwe

GOOD = VECTORS["opens"][0]
CYRILLIC = next(x for x in VECTORS["opens"] if not x["path"].isascii())
MP3 = "/300/2017-02-17-11-05-04_in_300_uhl4.mp3"
KEY = bytes.fromhex(TEST_JWE_KEY)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    def run(*args: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exit_:
            main(list(args))
        out, err = capsys.readouterr()
        return exit_.value.code or 0, out, err

    return run


def assert_one_line(result: tuple[int, str, str], message: str) -> None:
    status, out, err = result
    assert (status, out) == (1, "")
    assert re.fullmatch(r"record-shim: [^\n]+\n", err)
    assert message in err
    assert TEST_KEY not in err
    assert TEST_JWE_KEY not in err


def test_version(run) -> None:
    assert run("--version") == (0, version("record-shim") + "\n", "")


@pytest.mark.parametrize(
    "command",
    ["", "keygen", "link", "open", "render", "render nginx", "render systemd"],
)
def test_help_has_an_example(run, command: str) -> None:
    status, out, _ = run(*command.split(), "--help")
    assert status == 0
    assert f"Example: record-shim {command}".rstrip() in out


def test_keygen_prints_a_new_key(run) -> None:
    keys = {run("keygen")[1] for _ in range(2)}
    assert len(keys) == 2
    assert all(re.fullmatch(r"[0-9a-f]{64}\n", key) for key in keys)


def test_keygen_writes_a_private_file_once(run, tmp_path: Path) -> None:
    path = tmp_path / "key"
    old_mask = os.umask(0)
    try:
        assert run("keygen", "--output", str(path)) == (0, "", "")
    finally:
        os.umask(old_mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = path.read_text()
    assert_one_line(run("keygen", "--output", str(path)), "File exists")
    assert path.read_text() == key
    assert run("link", "--key-file", str(path), "/a.mp3")[0] == 0


def test_rotation_puts_a_new_key_first_and_keeps_the_old(run, key_file: Path) -> None:
    key_file.chmod(0o640)
    key = ("--key-file", str(key_file))
    old = run("link", GOOD["path"], *key)[1].strip()
    assert run("keygen", "--rotate", str(key_file)) == (0, "", "")
    new = run("link", GOOD["path"], *key)[1].strip()
    assert new != old
    for token in (old, new):
        assert run("open", token, *key) == (0, GOOD["path"] + "\n", "")
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o640
    lines = key_file.read_text().splitlines()
    assert lines[1] == TEST_KEY
    key_file.write_text(lines[0])
    assert run("open", new, *key)[0] == 0
    assert_one_line(run("open", old, *key), "another key")


def test_rotation_keeps_a_raw_key_and_a_link_to_the_file(run, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.touch(0o600)
    raw.write_bytes(bytes.fromhex(TEST_KEY))
    link = tmp_path / "link"
    link.symlink_to(raw)
    assert run("keygen", "--rotate", str(link)) == (0, "", "")
    assert link.is_symlink()
    assert raw.read_text().splitlines()[1] == TEST_KEY
    assert sorted(tmp_path.iterdir()) == [link, raw]


def on_a_full_disk(*args: str | Path) -> subprocess.CompletedProcess[str]:
    """Run record-shim with a limit on file sizes that makes every write fail."""
    script = "trap '' XFSZ; ulimit -f 0; \"$@\""
    return subprocess.run(
        ["bash", "-c", script, "bash", BIN / "record-shim", *args],
        check=False,
        capture_output=True,
        text=True,
    )


def test_a_rotation_that_fails_changes_nothing(run, key_file: Path) -> None:
    before = key_file.read_text()
    in_the_way = key_file.with_name("key.new")
    in_the_way.touch()
    assert_one_line(run("keygen", "--rotate", str(key_file)), "key.new")
    assert key_file.read_text() == before
    in_the_way.unlink()
    full = on_a_full_disk("keygen", "--rotate", key_file)
    assert_one_line(
        (full.returncode, full.stdout, full.stderr), "the file is unchanged"
    )
    assert key_file.read_text() == before
    assert list(key_file.parent.iterdir()) == [key_file]
    key_file.write_text("no key\n")
    assert_one_line(run("keygen", "--rotate", str(key_file)), "line 1")
    assert key_file.read_text() == "no key\n"
    assert run("keygen", "--rotate=a", "--output=b")[0] == 2


def test_link_and_open(run, key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = ("--key-file", str(key_file))
    assert run("link", GOOD["path"], *key) == (0, GOOD["token"] + "\n", "")
    link = f"https://storage.example.com/x/{GOOD['token']}"
    url = ("--base-url", "https://storage.example.com/x/")
    assert run("link", GOOD["path"], *key, *url) == (0, link + "\n", "")
    monkeypatch.setenv("SHIM_KEY_FILE", str(key_file))
    escaped = link.replace("=", "%3D") + "?download=1"
    for token in (GOOD["token"], link, escaped):
        assert run("open", token) == (0, GOOD["path"] + "\n", "")


def jwe_link(run, *options: str) -> str:
    status, out, err = run("link", MP3, *options)
    assert (status, err) == (0, "")
    return out.strip()


def shown(run, *args: str) -> dict[str, str]:
    """Return what `record-shim open` prints of a JWE link."""
    status, out, err = run("open", *args)
    assert (status, err) == (0, "")
    path, *lines = out.splitlines()
    return {"path": path} | dict(line.split(": ", 1) for line in lines)


def test_a_jwe_link_and_what_is_in_it(run, jwe_key_file: Path) -> None:
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
def test_durations(run, jwe_key_file: Path, duration: str, seconds: int) -> None:
    before = time.time()
    token = jwe_link(run, f"--expires={duration}", f"--key-file={jwe_key_file}")
    after = time.time()
    exp = jwe.opener((KEY,))(token).exp
    assert exp == int(exp)
    assert before + seconds <= exp < after + seconds + 1


def test_an_expired_link_is_shown_and_fails(run, jwe_key_file: Path) -> None:
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
def test_a_jwe_link_that_cannot_be_made(
    run, jwe_key_file: Path, option: str, message: str
) -> None:
    key = f"--key-file={jwe_key_file}"
    assert_one_line(run("link", MP3, key, "--expires=1h", option), message)


@pytest.mark.parametrize("option", ["--inline", "--filename=a.mp3"])
def test_what_requires_expires(run, key_file: Path, option: str) -> None:
    status, out, err = run("link", MP3, f"--key-file={key_file}", option)
    assert (status, out) == (2, "")
    assert "require --expires" in err


def test_the_key_file_of_the_other_format_is_noticed(
    run, key_file: Path, jwe_key_file: Path, monkeypatch: pytest.MonkeyPatch
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
    run, key_file: Path, jwe_key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHIM_JWE_KEY_FILE", str(jwe_key_file))
    token = jwe_link(run, "--expires=1h")
    assert_one_line(run("link", MP3), "set SHIM_KEY_FILE")
    assert_one_line(run("open", GOOD["token"]), "there is no key for ECB links")
    monkeypatch.delenv("SHIM_JWE_KEY_FILE")
    monkeypatch.setenv("SHIM_KEY_FILE", str(key_file))
    assert_one_line(run("link", MP3, "--expires=1h"), "set SHIM_JWE_KEY_FILE")
    assert_one_line(run("open", token), "there is no key for JWE links")


def test_the_boxs_own_keys_are_used_without_being_named(
    run, key_file: Path, jwe_key_file: Path, monkeypatch: pytest.MonkeyPatch
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
def test_an_option_that_is_empty_is_not_taken_for_none(
    run, key_file: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]
) -> None:
    monkeypatch.setenv("SHIM_KEY_FILE", str(key_file))
    assert_one_line(run(*args), "")


def test_a_link_from_standard_input_or_out_of_a_mail(
    run, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = f"--key-file={key_file}"
    link = f" <https://storage.example.com/{GOOD['token']}>\r\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(link))
    assert run("open", key, "-") == (0, GOOD["path"] + "\n", "")
    assert run("open", key, link) == (0, GOOD["path"] + "\n", "")


def test_standard_input_that_is_no_text(key_file: Path) -> None:
    result = subprocess.run(
        [BIN / "record-shim", "open", f"--key-file={key_file}", "-"],
        input=b"\xff\xfe\n",
        env={"LC_ALL": "C.UTF-8"},
        check=False,
        capture_output=True,
    )
    output = (result.stdout.decode(), result.stderr.decode())
    assert_one_line((result.returncode, *output), "not base64url")


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


def test_rotation_of_a_jwe_key(run, jwe_key_file: Path) -> None:
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
def test_open_says_why_not(run, key_file: Path, vector: dict[str, str]) -> None:
    result = run("open", "--key-file", str(key_file), vector["token"])
    assert_one_line(result, "")
    assert vector["token"] not in result[2]


@pytest.mark.parametrize("path", ["/300/../x", "", "/300/", "/300/\udcff.mp3"])
def test_no_link_is_made_that_would_not_open(run, key_file: Path, path: str) -> None:
    assert_one_line(run("link", "--key-file", str(key_file), path), "path")


def test_the_path_prefix_holds_for_the_command_too(
    run, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHIM_PATH_PREFIX", "/var/spool")
    key = ("--key-file", str(key_file))
    assert_one_line(run("link", GOOD["path"], *key), "SHIM_PATH_PREFIX")
    assert_one_line(run("open", GOOD["token"], *key), "SHIM_PATH_PREFIX")


def test_errors_are_one_line(run, tmp_path: Path) -> None:
    assert_one_line(run("link", "/a.mp3"), "SHIM_KEY_FILE")
    missing = str(tmp_path / "missing")
    assert_one_line(run("open", "x", "--key-file", missing), missing)
    output = str(tmp_path / "no" / "key")
    assert_one_line(run("keygen", "--output", output), "No such file")


def test_a_link_that_is_none(run, key_file: Path) -> None:
    for text in ("http://[x/abc", "", "/", "%ff%00", "http://a/b?c"):
        assert_one_line(run("open", "--key-file", str(key_file), text), "")


def test_a_full_disk_leaves_no_empty_key_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    result = on_a_full_disk("keygen", "--output", path)
    assert_one_line((result.returncode, result.stdout, result.stderr), str(path))
    assert not path.exists()


@pytest.mark.parametrize("args", ["keygen", "render nginx --records=/srv/records"])
def test_output_that_cannot_be_written(args: str) -> None:
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [BIN / "record-shim", *args.split()],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert_one_line((result.returncode, "", result.stderr), "No space left")


@pytest.mark.parametrize("start", ["-I", "-h", "--"])
def test_a_token_that_starts_with_a_dash(run, key_file: Path, start: str) -> None:
    key = ("--key-file", str(key_file))
    keyring = (bytes.fromhex(TEST_KEY),)
    paths = (f"/300/{number}.mp3" for number in itertools.count())
    path = next(path for path in paths if ecb.seal(path, keyring).startswith(start))
    assert run("open", ecb.seal(path, keyring), *key) == (0, path + "\n", "")


def test_wrong_usage_is_2(run) -> None:
    for args in (("link",), ("render", "nginx"), ("nonsense",)):
        status, out, err = run(*args)
        assert (status, out) == (2, "")
        assert "Usage: record-shim" in err


@pytest.mark.parametrize(
    "option",
    [
        "--records=relative",
        '--records=/srv/"; evil',
        "--records=/srv/$uri",
        "--records=/srv/a\nb",
        "--listen=example:80",
        "--listen=80;",
        "--listen=0",
        "--listen=127.0.0.1:65536",
        "--listen=:80",
        "--listen=[::1:80",
        "--listen=::1:80",
        "--server-name=a b",
        "--server-name=-",
        "--server-name=a;b",
        "--server-name=recordingsstorageproductionbox_1.example.com",
        "--server-name=",
        "--socket=run/x.sock",
        "--socket=/run/x y.sock",
        "--log-dir=/var/log;",
    ],
)
def test_nothing_is_rendered_that_nginx_could_misread(run, option: str) -> None:
    args = [option] if "--records" in option else ["--records=/srv/records", option]
    assert_one_line(run("render", "nginx", *args), option.split("=")[0])


@pytest.mark.parametrize("listen", ["80", "127.0.0.1:8080", "[::1]:8080"])
def test_listen(run, listen: str) -> None:
    _, site, _ = run("render", "nginx", "--records=/srv/records", f"--listen={listen}")
    assert f"\n    listen {listen};\n" in site
    # Debian's default site would answer on IPv6, and log the links
    assert ("listen [::]:80;" in site) == (listen == "80")


def test_a_bad_internal_prefix_renders_nothing(
    run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHIM_INTERNAL_PREFIX", "records")
    result = run("render", "nginx", "--records=/srv/records")
    assert_one_line(result, "SHIM_INTERNAL_PREFIX")


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--server-name=storage.example.com"],
        ["--server-name=storage.example.com."],
        ["--socket=/run/other.sock"],
        ["--records=/srv/call records/Отдел"],
    ],
)
@pytest.mark.needs("nginx")
def test_nginx_accepts_what_is_rendered(
    run, tmp_path: Path, options: list[str]
) -> None:
    logs = f"--log-dir={tmp_path}"
    # nginx -t binds: to a port that is free, whoever runs the test
    listen = f"--listen=127.0.0.1:{free_port()}"
    _, site, _ = run(
        "render", "nginx", "--records=/srv/records", logs, listen, *options
    )
    assert "{{" not in site
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; events {{}} http {{\n{site}}}\n"
    )
    check = subprocess.run(
        ["nginx", "-t", "-c", tmp_path / "nginx.conf", "-e", "stderr"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert check.returncode == 0, check.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["install", "--records=/srv/records", "--server-name=storage.example.com"],
        ["uninstall"],
        ["check"],
    ],
)
def test_the_box_is_for_root_alone(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    as_root = os.geteuid() == 0
    if as_root:
        os.seteuid(65534)
    try:
        with pytest.raises(SystemExit, match="1"):
            main(command)
    finally:
        if as_root:
            os.seteuid(0)
    error = capsys.readouterr().err
    assert error == (
        "record-shim: only root may do this; run it as root or with sudo\n"
    )


def test_check_takes_one_record(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["check", "--path=/a", "--url=/b"])
    assert "use one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cache-time=10m"], "requires --cache"),
        (["--cache", "--cache-time=0s"], "--cache-time '0s'"),
        (["--cache", "--cache-time=1m; deny all"], "--cache-time '1m; deny all'"),
        (["--cache", "--cache-dir=cache"], "--cache-dir 'cache'"),
    ],
)
def test_cache_options_that_are_refused(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"[12]"):
        main(["render", "nginx", "--records=/srv/records", *options])
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


@pytest.mark.needs("nginx")
def test_a_cache_directory_that_cannot_be_made_is_found_by_nginx(
    tmp_path: Path,
) -> None:
    site = nginx_site(
        records="/srv/records",
        listen="8080",
        server_name="_",
        internal_prefix="/_records/",
        log_dir=str(tmp_path),
        cache_time="10m",
        cache_dir=f"{tmp_path}/missing/cache",
    )
    config = tmp_path / "nginx.conf"
    config.write_text(f"pid {tmp_path}/pid; events {{ }} http {{ {site} }}")
    result = subprocess.run(
        ["nginx", "-t", "-c", config], check=False, capture_output=True, text=True
    )
    assert result.returncode != 0
    assert f'mkdir() "{tmp_path}/missing/cache" failed' in result.stderr
