"""record-shim render."""

import re
import subprocess
from pathlib import Path

import pytest
from support.command import Run, assert_one_line
from support.stack import free_port

from shim.box.layout import NGINX_D
from shim.box.templates import OLDEST_NGINX, nginx_site
from shim.cli import main
from shim.errors import Misconfigured


def tls_site(
    certificate: str = "/etc/tls/certificate.pem",
    certificate_key: str = "/etc/tls/key.pem",
    *,
    listen: str | None = None,
    nginx_version: tuple[int, int, int] = OLDEST_NGINX,
) -> str:
    return nginx_site(
        records="/srv/records",
        listen=listen,
        server_name="_",
        internal_prefix="/_records/",
        certificate=certificate,
        certificate_key=certificate_key,
        nginx_version=nginx_version,
    )


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
        "--certificate=fullchain.pem",
        "--certificate=",
        "--certificate=data:x",
        '--certificate=/etc/"; evil',
        "--certificate=/etc/$ssl_server_name.pem",
    ],
)
@pytest.mark.needs("nginx")
def test_nothing_is_rendered_that_nginx_could_misread(run: Run, option: str) -> None:
    args = [option] if "--records" in option else ["--records=/srv/records", option]
    if "--certificate" in option:
        args.append("--certificate-key=/etc/tls/key.pem")
    assert_one_line(run("render", "nginx", *args), option.split("=")[0])


@pytest.mark.parametrize("listen", ["80", "127.0.0.1:8080", "[::1]:8080"])
def test_listen(run: Run, listen: str) -> None:
    _, site, _ = run("render", "nginx", "--records=/srv/records", f"--listen={listen}")
    assert f"\n    listen {listen};\n" in site
    # Debian's default site would answer on IPv6, and log the links
    assert ("listen [::]:80;" in site) == (listen == "80")


@pytest.mark.parametrize(
    ("listen", "https", "http", "location"),
    [
        (None, ["443", "[::]:443"], ["80", "[::]:80"], "https://$host"),
        ("8443", ["8443", "[::]:8443"], ["80", "[::]:80"], "https://$host:8443"),
        ("192.0.2.1:443", ["192.0.2.1:443"], ["192.0.2.1:80"], "https://$host"),
        ("[::1]:8443", ["[::1]:8443"], ["[::1]:80"], "https://$host:8443"),
    ],
)
@pytest.mark.parametrize("version", [(1, 22, 1), (1, 25, 1), (1, 26, 3)])
def test_listen_with_a_certificate(
    listen: str | None,
    https: list[str],
    http: list[str],
    location: str,
    version: tuple[int, int, int],
) -> None:
    site = tls_site(listen=listen, nginx_version=version)
    new = version >= (1, 25, 1)
    ssl = " ssl" if new else " ssl http2"
    assert re.findall(r"\n    listen (.*);", site) == [x + ssl for x in https] + http
    assert ("\n    http2 on;\n" in site) == new
    assert f"return 301 {location}$request_uri;" in site


@pytest.mark.parametrize("listen", ["80", "127.0.0.1:80", "[::1]:80"])
def test_port_80_is_for_the_redirect(listen: str) -> None:
    with pytest.raises(Misconfigured, match="port 80 redirects to https"):
        tls_site(listen=listen)


def test_a_certificate_and_its_key_belong_together(run: Run) -> None:
    for option in ("--certificate=/a.pem", "--certificate-key=/a.pem"):
        status, out, err = run("render", "nginx", "--records=/srv/records", option)
        assert (status, out) == (2, "")
        assert "require each other" in err
    # such as a relative path, the key is checked too
    options = ["--certificate=/a.pem", "--certificate-key=key.pem"]
    result = run("render", "nginx", "--records=/srv/records", *options)
    assert_one_line(result, "--certificate-key 'key.pem'")


def test_the_site_says_where_own_lines_belong() -> None:
    first, second, *_ = tls_site().splitlines()
    assert "Do not edit" in first
    assert second == f"# Your own lines belong in {NGINX_D}/*.conf."


def test_server_names_are_as_nginx_compares_them(run: Run) -> None:
    """B17: nginx compares names in lower case and without a final dot."""
    name = "--server-name=Storage.EXAMPLE.com."
    _, site, _ = run("render", "nginx", "--records=/srv/records", name)
    assert "\n    server_name storage.example.com;\n" in site


@pytest.mark.needs("nginx")
def test_the_installed_nginx_decides_how_http_2_is_turned_on(run: Run) -> None:
    options = ["--certificate=/a.pem", "--certificate-key=/b.pem"]
    _, site, _ = run("render", "nginx", "--records=/srv/records", *options)
    printed = subprocess.run(["nginx", "-v"], check=True, capture_output=True).stderr
    numbers = re.findall(rb"\d+", printed)[:3]
    version = int(numbers[0]), int(numbers[1]), int(numbers[2])
    expected = tls_site("/a.pem", "/b.pem", nginx_version=version)
    assert site == expected


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
