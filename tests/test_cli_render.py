"""record-shim render."""

import subprocess
from pathlib import Path

import pytest
from support.command import Run, assert_one_line
from support.stack import free_port

from shim.box.templates import nginx_site
from shim.cli import main


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
def test_nothing_is_rendered_that_nginx_could_misread(run: Run, option: str) -> None:
    args = [option] if "--records" in option else ["--records=/srv/records", option]
    assert_one_line(run("render", "nginx", *args), option.split("=")[0])


@pytest.mark.parametrize("listen", ["80", "127.0.0.1:8080", "[::1]:8080"])
def test_listen(run: Run, listen: str) -> None:
    _, site, _ = run("render", "nginx", "--records=/srv/records", f"--listen={listen}")
    assert f"\n    listen {listen};\n" in site
    # Debian's default site would answer on IPv6, and log the links
    assert ("listen [::]:80;" in site) == (listen == "80")


def test_a_bad_internal_prefix_renders_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch
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
    run: Run, tmp_path: Path, options: list[str]
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
