import json

import pytest
from support.box import (
    HOST,
    INSTALL,
    KEY,
    OTHER_VERSION,
    SHIM,
    SITE,
    Box,
    readme_commands,
)
from support.waiting import wait_for

SERVICE = "/etc/systemd/system/record-shim.service"


def test_the_readmes_second_command_ends_with_every_line_good(bare: Box) -> None:
    output = bare.run(readme_commands()[1])
    findings = output.splitlines()[-13:]
    # a container's clock is the machine's, which may not be synchronized
    assert all(x.startswith(("✓ ", "! clock")) for x in findings), output
    assert findings[-1].startswith("✓ download: ")
    assert bare.status(bare.link()) == "200"
    assert bare.run("stat -c '%a %U' " + KEY) == "600 root"


# what is in the way, how it is cleared away, how install is called, what it says
OBSTACLES = {
    "not root": ("", "", f"setpriv --reuid=65534 --clear-groups {INSTALL}", "only root"),
    "no systemd": (
        "",
        "",
        f"unshare -m sh -c 'mount -t tmpfs none /run/systemd; exec {INSTALL}'",
        "systemd is not running here",
    ),
    "no nginx": (
        "",
        "",
        f"unshare -m sh -c 'mount --bind /dev/null /usr/sbin/nginx; exec {INSTALL}'",
        "nginx is not installed",
    ),
    "no records": (
        "",
        "",
        INSTALL.replace("/srv/records", "/srv/nothing"),
        "/srv/nothing': no such directory",
    ),
    "records of which nginx would make more": (
        "",
        "",
        INSTALL.replace("/srv/records", "'/srv/records\";'"),
        "--records '/srv/records\";'",
    ),
    "no server name": (
        "",
        "",
        INSTALL.replace(HOST, "'storage example'"),
        "--server-name 'storage example'",
    ),
    "a bad key": (
        f"mkdir /etc/record-shim; install -m 600 /dev/null {KEY}; echo secret >{KEY}",
        "rm -r /etc/record-shim",
        INSTALL,
        "line 1: not a key",
    ),
    "an address of another box": (
        "",
        "",
        f"{INSTALL} --listen 192.0.2.9:80",
        "--listen 192.0.2.9:80: Cannot assign requested address",
    ),
    "a port in use": (
        ("systemd-run -q --unit=taken python3 -m http.server 8085;"
        " for i in {1..600}; do curl -so /dev/null http://127.0.0.1:8085/ && break;"
        " sleep 0.1; done"),
        "systemctl stop taken",
        f"{INSTALL} --listen 8085",
        "--listen 8085: Address already in use",
    ),
    "a site of another file with the same name": (
        (f"echo 'server {{ listen 80; server_name {HOST}; }}'"
        " >/etc/nginx/conf.d/other.conf"),
        "rm /etc/nginx/conf.d/other.conf",
        INSTALL,
        f"another nginx site has the name {HOST}",
    ),
    "a broken nginx": (
        "echo 'nonsense;' >/etc/nginx/conf.d/other.conf",
        "rm /etc/nginx/conf.d/other.conf",
        INSTALL,
        'nginx: unknown directive "nonsense"',
    ),
    "an nginx that our site breaks": (
        ("echo 'upstream record-shim { server 127.0.0.1:1; }'"
        " >/etc/nginx/conf.d/other.conf"),
        "rm /etc/nginx/conf.d/other.conf",
        INSTALL,
        'nginx: duplicate upstream "record-shim"',
    ),
    "an nginx that does not read conf.d": (
        "cp /etc/nginx/nginx.conf /root; sed -i '/include.*conf;/d' /etc/nginx/nginx.conf",
        "cp /root/nginx.conf /etc/nginx/nginx.conf",
        INSTALL,
        f"nginx does not read {SITE}",
    ),
    "records with all the files of the system": (
        "",
        "",
        INSTALL.replace("/srv/records", "/etc"),
        "--records '/etc': contains files that are not records",
    ),
    "records with this file system": (
        "",
        "",
        INSTALL.replace("/srv/records", "/"),
        "--records '/': contains files that are not records",
    ),
    "a name that ends with a space": (
        "mkdir '/srv/records '",
        "rmdir '/srv/records '",
        INSTALL.replace("/srv/records", "'/srv/records '"),
        "starts or ends with a space",
    ),
    "a masked nginx": (
        "systemctl mask nginx",
        "systemctl unmask nginx",
        INSTALL,
        "nginx.service is masked; run systemctl unmask nginx.service",
    ),
    "a masked unit": (
        "systemctl mask record-shim.socket",
        "systemctl unmask record-shim.socket",
        INSTALL,
        "record-shim.socket is masked; run systemctl unmask record-shim.socket",
    ),
    "a certificate without its key": (
        ("cd /root; openssl genpkey -algorithm ed25519 -out a.key; openssl req -x509 -key"
        " a.key -subj /CN=x -out a.crt; openssl genpkey -algorithm ed25519 -out b.key"),
        "rm /root/?.key /root/a.crt",
        f"{INSTALL} --certificate /root/a.crt --certificate-key /root/b.key",
        "key values mismatch; use a certificate with its chain and its own key",
    ),
    "a certificate that does not exist": (
        "",
        "",
        f"{INSTALL} --certificate /root/a.crt --certificate-key /root/b.key",
        "--certificate '/root/a.crt': no such file",
    ),
    "no options on a new box": ("", "", f"{SHIM} install", "--records is missing"),
    "a wrong setting": (
        "mkdir /etc/record-shim; echo SHIM_DISPOSITION=no >/etc/record-shim/settings",
        "rm -r /etc/record-shim",
        INSTALL,
        "SHIM_DISPOSITION 'no': unknown value; use attachment or inline",
    ),
    "a service that does not start": (
        "mkdir /etc/record-shim; echo GUNICORN_CMD_ARGS=--nonsense >/etc/record-shim/settings",
        "rm -r /etc/record-shim",
        INSTALL,
        "run journalctl -u record-shim.service -n 20 to see why",
    ),
    "a virtual environment that the service cannot see": (
        "cp -a /opt/record-shim /root/",
        "rm -r /root/record-shim",
        INSTALL.replace(SHIM, "/root/record-shim/bin/python -c"
        " 'from shim.cli import main; main()'"),
        "is below /root, which is hidden from the service",
    ),
    "a virtual environment that the service may not enter": (
        "chmod o-x /opt/record-shim",
        "chmod o+x /opt/record-shim",
        INSTALL,
        "run chmod o+x on it",
    ),
}  # fmt: skip


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_a_failed_install_leaves_the_box_as_it_was(bare: Box, obstacle: str) -> None:
    """B20, B31: what is wrong is said in one line, and nothing has changed."""
    make, clear, command, message = OBSTACLES[obstacle]
    state = (
        "systemctl is-active nginx; systemctl is-enabled nginx || true;"
        " systemctl list-unit-files --no-legend 'record-shim*' || true;"
        " ss -Hltn | awk '{print $4}' | sort; ls -A /run/record-shim 2>&1 || true"
    )
    bare.run(make or "true")
    try:
        before = bare.etc(), bare.run(state)
        error = bare.fails(command)
        assert (bare.etc(), bare.run(state)) == before
    finally:
        bare.run(clear or "true")
    assert error.startswith("record-shim: ")
    assert message in error
    assert "secret" not in error


def test_a_failed_upgrade_keeps_the_old_units(box: Box) -> None:
    token = box.link()
    before, pid = box.etc(), box.main_pid()
    error = box.fails(f"{INSTALL} --listen 192.0.2.9:80")
    assert "192.0.2.9" in error
    other = "/etc/nginx/conf.d/other.conf"
    box.run(f"echo 'server {{ listen 8086; server_name {HOST}; }}' >{other}")
    try:
        assert "another nginx site" in box.fails(f"{INSTALL} --listen 8086")
    finally:
        box.run(f"rm {other}; systemctl reload nginx")
    assert (box.etc(), box.main_pid()) == (before, pid)
    # with units that differ, too
    box.run(
        f"mkdir -p /opt/records; echo 'server {{ listen 8086; server_name {HOST}; }}' >{other}"
    )
    try:
        elsewhere = INSTALL.replace("/srv/records", "/opt/records")
        assert "another nginx site" in box.fails(f"{elsewhere} --listen 8086")
    finally:
        box.run(f"rm -r {other} /opt/records; systemctl reload nginx")
    assert box.etc() == before
    assert box.status(token) == "200"
    assert box.run("systemctl show -p NeedDaemonReload --value record-shim") == "no"


def test_a_dry_run_shows_all_and_changes_nothing(bare: Box) -> None:
    before = bare.etc()
    output = bare.run(f"{INSTALL} --dry-run")
    assert bare.etc() == before
    for file in (SITE, SERVICE, "/etc/record-shim/settings"):
        assert f"+++ {file} (record-shim)" in output
    assert "+    server_name storage.example.com;" in output
    assert f"{KEY}: a new key would be created" in output
    assert "nothing was changed" in output


def test_run_again_it_changes_nothing(box: Box) -> None:
    before = box.etc(), box.main_pid()
    output = box.run(INSTALL)
    assert output.splitlines()[0] == "nothing to change"
    assert (box.etc(), box.main_pid()) == before


def test_it_starts_what_was_stopped_and_follows_new_options(box: Box) -> None:
    box.run("systemctl disable --now record-shim.socket record-shim.service")
    box.run(INSTALL)
    token = box.link()
    assert box.status(token) == "200"
    output = box.run(f"{INSTALL} --listen 8087")
    assert f"{SITE}: written" in output
    assert "✓ download" in output
    assert box.status(token) != "200"
    box.run(f"{INSTALL} --listen 80")
    assert box.status(token) == "200"


@pytest.mark.parametrize("file", [SITE, SERVICE])
def test_an_edited_file_is_kept_unless_forced(bare: Box, file: str) -> None:
    bare.run(INSTALL)
    bare.run(f"echo '# the operator was here' >>{file}; systemctl daemon-reload")
    edited = bare.run(f"sha256sum {file}")
    output = bare.run(INSTALL)
    assert "-# the operator was here" in output
    assert f"{file}: edited, so it was not changed" in output
    assert bare.run(f"sha256sum {file}") == edited
    assert f"{file}.bak" in bare.run(f"{INSTALL} --force")
    assert "was here" in bare.run(f"cat {file}.bak")
    assert "was here" not in bare.run(f"cat {file}")
    bare.run(f"rm {file}.bak; echo '# the operator is back' >>{file}")
    assert f"{file}: edited, so it was kept as {file}.bak" in bare.run(
        f"{SHIM} uninstall"
    )
    assert "is back" in bare.run(f"cat {file}.bak; rm {file}.bak")


def test_key_and_settings_of_the_operator_are_kept(bare: Box) -> None:
    bare.run("mkdir /etc/record-shim; cd /etc/record-shim; umask 077;"
             " printf %s 0123456789abcdefghijklmnopqrstuv >key;"
             " echo SHIM_INTERNAL_PREFIX=/_calls/ >settings")  # fmt: skip
    before = bare.run("cd /etc/record-shim; sha256sum key settings")
    output = bare.run(f"{INSTALL} --force")
    assert "internal prefix: /_calls/ in nginx and the endpoint" in output
    assert bare.status(bare.link()) == "200"
    bare.run(f"{SHIM} uninstall")
    assert bare.run("cd /etc/record-shim; sha256sum *") == before
    bare.run(f"{SHIM} uninstall --purge")


def test_uninstall_removes_what_install_created(bare: Box) -> None:
    before = bare.etc()
    bare.run(INSTALL)
    output = bare.run(f"{SHIM} uninstall")
    assert f"{KEY}: kept" in output
    assert bare.run("find /etc -name '*record*shim*'; ls /etc/record-shim") == (
        "/etc/record-shim\nkey"
    )
    # systemd forgets a unit that is gone in its own time
    units = "systemctl list-units --all --no-legend 'record-shim*'"
    wait_for(lambda: bare.run(units) == "")
    assert bare.run("systemctl is-active nginx") == "active"
    bare.run(f"{SHIM} uninstall --purge")
    assert bare.etc() == before
    assert bare.run(f"{SHIM} uninstall") == "nothing to remove"
    assert bare.run("ls /srv/records/300").count("\n") == 2


def test_uninstall_leaves_no_socket_and_says_what_logs_links(bare: Box) -> None:
    """B28, B31: the default site logs whole links; the socket file is gone."""
    bare.run(INSTALL)
    output = bare.run(f"{SHIM} uninstall")
    default = "/etc/nginx/sites-enabled/default"
    assert f"{default}: restored; it logs whole links that still arrive" in output
    assert bare.run("ls -d /run/record-shim* || true") == "/run/record-shim.lock"
    assert bare.run("ls -d /var/lib/record-shim || true") == ""


def test_purge_asks_on_a_terminal(box: Box) -> None:
    """B28: without a yes, the keys stay."""
    before = box.etc()
    asked = box.run(
        f"script -qec '{SHIM} uninstall --purge' /dev/null <<<n || true; ls {KEY}"
    )
    assert "Delete all keys? No link will ever open again [y/N]" in asked
    assert box.etc() == before
    box.run(f"script -qec '{SHIM} uninstall --purge' /dev/null <<<y")
    assert box.run(f"ls {KEY} || true") == ""


def test_uninstall_without_nginx(box: Box) -> None:
    """B19: nginx may have been removed before."""
    box.run("systemctl stop nginx")
    try:
        box.run(
            "unshare -m sh -c 'mount --bind /dev/null /usr/sbin/nginx;"
            f" exec {SHIM} uninstall --purge'"
        )
        assert box.run("find /etc -name '*record*shim*'") == ""
        assert box.run("systemctl is-active record-shim.socket || true") == "inactive"
    finally:
        box.run("systemctl start nginx")


def test_the_operators_nginx_lines_are_kept(bare: Box) -> None:
    bare.run(f"{INSTALL}; echo 'deny 192.0.2.1;' >/etc/record-shim/nginx.d/deny.conf")
    assert "deny.conf" in bare.run(f"{INSTALL} --force >/dev/null; nginx -T -q")
    assert "nginx.d: kept" in bare.run(f"{SHIM} uninstall --purge")
    assert bare.run("ls -R /etc/record-shim; rm -r /etc/record-shim").endswith(
        "/etc/record-shim/nginx.d:\ndeny.conf"
    )


def test_a_site_that_is_a_link_stays_one(bare: Box) -> None:
    bare.run(f"touch /root/site.conf; ln -s /root/site.conf {SITE}; {INSTALL} --force")
    assert bare.run(f"readlink {SITE}") == "/root/site.conf"
    assert bare.run(INSTALL).startswith("nothing to change\n")
    bare.run(f"{SHIM} uninstall; rm /root/site.conf {SITE}.bak")
    assert bare.run(f"ls {SITE}* || true") == ""


def test_a_unit_that_is_a_link_is_read_again(box: Box) -> None:
    box.run(
        f"mkdir -p /opt/units /opt/records; cp -r /recordings -T /opt/records/300;"
        f" mv {SERVICE} /opt/units; ln -s /opt/units/record-shim.service {SERVICE};"
        " systemctl daemon-reload"
    )
    try:
        output = box.run(f"{SHIM} install --records /opt/records")
        assert "record-shim.service: restarted" in output
        assert box.run("systemctl show -p NeedDaemonReload --value record-shim") == "no"
        inside = f"nsenter -t {box.main_pid()} -m ls /opt/records 2>&1 || true"
        assert "300" not in box.run(inside)
    finally:
        box.run(f"{SHIM} uninstall; rm -r /opt/units /opt/records")


def test_uninstall_does_all_or_nothing(box: Box) -> None:
    """B19: a broken nginx is named, and everything is as before."""
    other = "/etc/nginx/conf.d/other.conf"
    box.run(f"echo 'nonsense;' >{other}")
    try:
        before = box.etc()
        assert 'unknown directive "nonsense"' in box.fails(f"{SHIM} uninstall")
        assert box.etc() == before
    finally:
        box.run(f"rm {other}")
    box.run(
        f"echo SHIM_DISPOSITION=inline >>/etc/record-shim/settings; {SHIM} uninstall"
    )
    assert box.run("ls /etc/record-shim") == "key\nsettings"
    box.run(f"{SHIM} uninstall --purge")


def test_an_upgrade(box: Box) -> None:
    """B3: install restarts the service with the new version."""
    token = box.link()
    version = box.run(f"{SHIM} --version")
    pip = "/opt/record-shim/bin/pip install -q --no-index --no-deps"
    box.run(f"{pip} /wheels/other/record_shim-*.whl")
    pid = box.main_pid()
    assert "record-shim.service: restarted" in box.run(f"{SHIM} install")
    assert box.main_pid() != pid
    assert box.run(f"{SHIM} --version") == OTHER_VERSION
    assert box.status(token) == "200"
    box.run(f"{pip} /wheels/record_shim-*.whl; {SHIM} install")
    assert box.run(f"{SHIM} --version") == version
    assert box.run(f"{SHIM} install").startswith("nothing to change\n")


def test_json_for_scripts(bare: Box) -> None:
    planned = json.loads(bare.run(f"{INSTALL} --dry-run --json"))
    assert {x["path"] for x in planned["steps"]} >= {SITE, SERVICE, KEY}
    assert planned["findings"] == []
    installed = json.loads(bare.run(f"{INSTALL} --json"))
    assert set(installed) == {"steps", "findings"}
    steps = {(x["path"], x["action"]) for x in installed["steps"]}
    assert {(KEY, "created"), (SITE, "written"), (SERVICE, "written")} <= steps
    assert {("record-shim.socket", "started"), ("nginx.service", "reloaded")} <= steps
    assert all(set(x) == {"action", "path", "detail"} for x in installed["steps"])

    bare.run(f"chmod 640 {SITE}; echo '# the operator was here' >>{SITE}")
    forced = json.loads(bare.run(f"{INSTALL} --force --dry-run --json"))
    assert {"action": "backed-up", "path": SITE, "detail": f"{SITE}.bak"} in forced[
        "steps"
    ]
    bare.run(f"{INSTALL} --force")
    assert bare.run(f"stat -c %a {SITE} {SITE}.bak").split() == ["640", "640"]
    bare.run(f"rm {SITE}.bak; echo '# the operator is back' >>{SITE}")
    removed = json.loads(bare.run(f"{SHIM} uninstall --json"))
    assert {"action": "kept", "path": KEY, "detail": ""} in removed["steps"]
    backup = {"action": "backed-up", "path": SITE, "detail": f"{SITE}.bak"}
    assert backup in removed["steps"]
    bare.run(f"rm {SITE}.bak")
    assert json.loads(bare.run(f"{SHIM} uninstall --json")) == {"steps": []}
