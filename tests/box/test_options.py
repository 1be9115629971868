"""Install remembers its options."""

from support.box import HOST, INSTALL, SHIM, SITE, Box

INSTALL_CONF = "/etc/record-shim/install.conf"


def test_install_repeats_the_last_one(bare: Box) -> None:
    """B4: options that are left out are those of the last install."""
    bare.run(f"{INSTALL} --cache --cache-time 90s --listen 8088")
    before = bare.etc()
    assert bare.run(f"{SHIM} install").startswith("nothing to change\n")
    assert bare.etc() == before
    output = bare.run(f"{SHIM} install --listen 8089").splitlines()
    assert output[0] == "listen: 8088 → 8089"
    assert [x for x in output if "→" in x] == output[:1]
    assert "proxy_cache_valid 200 90s;" in bare.run(f"cat {SITE}")
    assert "cache-time: 90s → 1h" in bare.run(f"{SHIM} install --cache-time 1h")
    assert bare.run(f"{SHIM} install --cache").startswith("nothing to change\n")
    output = bare.run(f"{SHIM} install --listen 80 --no-cache --dry-run").splitlines()
    assert output[:2] == ["listen: 8089 → 80", "cache-time: 1h → none"]
    bare.run(f"{SHIM} install --listen 80 --no-cache")
    assert bare.status(bare.link()) == "200"
    assert bare.run(f"grep -v '^#' {INSTALL_CONF}").splitlines() == [
        "[install]",
        "records = /srv/records",
        f"server-name = {HOST}",
    ]


def test_the_options_of_version_0_1_0(bare: Box) -> None:
    """B4: a box without install.conf has the options of its site."""
    bare.run(f"{INSTALL} --cache --cache-time 90s --listen 127.0.0.1:8088")
    conf = bare.run(f"cat {INSTALL_CONF}")
    bare.run(f"rm {INSTALL_CONF}")
    assert f"{SITE}: written" not in bare.run(f"{SHIM} install")
    assert bare.run(f"cat {INSTALL_CONF}") == conf


def test_an_edited_install_conf(bare: Box) -> None:
    bare.run(INSTALL)
    bare.run(f"echo 'listen = 8088' >>{INSTALL_CONF}")
    assert "written" in bare.run(f"{SHIM} install")
    assert "listen 8088;" in bare.run(f"cat {SITE}")
    before = bare.etc()
    for line, message in {
        "lisen = 80": "unknown option lisen; correct or delete the file",
        "listen": "contains parsing errors",
        "listen = 81": "already exists",
    }.items():
        bare.run(f"cp {INSTALL_CONF} /root; echo '{line}' >>{INSTALL_CONF}")
        error = bare.fails(f"{SHIM} install")
        bare.run(f"cp /root/install.conf {INSTALL_CONF}")
        assert f"{INSTALL_CONF}: " in error
        assert message in error
    assert bare.etc() == before


def test_an_edited_site_cannot_follow(box: Box) -> None:
    """B11: what was asked for and cannot be done is an error, and nothing changes."""
    box.run(f"echo '# the operator was here' >>{SITE}")
    before = box.etc()
    error = box.fails(f"{SHIM} install --cache")
    assert f"{SITE} was edited, so this cannot change: cache-time: none → 10m" in error
    assert "nginx.d" in error
    assert box.etc() == before
    # the site is as new as it can be
    assert "edited, so it was not changed" in box.run(f"{SHIM} install")
    # as after an upgrade with a newer site
    box.run("sed -i '/record-shim.conf/s/^[0-9a-f]*/0/' /etc/record-shim/installed")
    upgraded = box.ran(f"{SHIM} install")
    assert upgraded.returncode == 1
    assert "edited, so it was not brought up to date" in upgraded.stdout
    box.run(f"{SHIM} install --force; rm {SITE}.bak")


def test_an_empty_records_directory(bare: Box) -> None:
    """B10: a new box has no records yet, and install succeeds."""
    bare.run("mkdir -p /opt/empty")
    elsewhere = INSTALL.replace("/srv/records", "/opt/empty")
    report = bare.run(elsewhere)
    assert "\n! records directory '/opt/empty': " in report
    assert bare.ran(f"{SHIM} check").returncode == 1


def test_the_audit_log_is_not_for_everyone(bare: Box) -> None:
    """A5: the logs are readable for nginx and administrators, rotated ones too."""
    logs = "/var/log/nginx/record-shim"
    bare.run(f"rm -f {logs}*; install -m 644 /dev/null {logs}.log.1; {INSTALL}")
    rights = bare.run(f"stat -c '%a %U:%G' {logs}.log {logs}.error.log {logs}.log.1")
    assert rights.splitlines() == [*["640 www-data:adm"] * 2, "640 root:root"]
    assert bare.status(bare.link()) == "200"
    bare.run(f"chmod 644 {logs}.log; {INSTALL}")
    assert bare.run(f"stat -c %a {logs}.log") == "640"
    assert bare.run(f"wc -l <{logs}.log") != "0"
    bare.run(f"{SHIM} uninstall; rm {logs}*; ln -s /root/elsewhere {logs}.log")
    # the administrator has moved it
    bare.run(f"{INSTALL}; rm {logs}.log /root/elsewhere; systemctl reload nginx")


def test_comments_in_install_conf_are_kept(bare: Box) -> None:
    bare.run(
        f"{INSTALL}; echo '# mine' >>{INSTALL_CONF}; echo 'cache-time =' >>{INSTALL_CONF}"
    )
    assert bare.run(f"{SHIM} install").startswith("nothing to change\n")
    assert "# mine" in bare.run(f"cat {INSTALL_CONF}")
    assert "proxy_cache_path" not in bare.run(f"cat {SITE}")


def test_an_upgrade_of_an_edited_site(bare: Box) -> None:
    """B11: options that do not change are not in the way."""
    bare.run(f"{INSTALL}; rm {INSTALL_CONF}; echo '# mine' >>{SITE}")
    output = bare.run(f"{SHIM} install")
    assert "→" not in output
    assert "edited, so it was not changed" in output
