"""The commands in the documentation, run on a box as they are."""

import json
import re
from collections.abc import Iterator

import pytest
from support.box import (
    CHECKOUT,
    HOST,
    INSTALL,
    JWE_KEY,
    KEY,
    NGINX_D,
    RECORD,
    SHIM,
    SITE,
    Box,
)
from support.documentation import commands, sections
from support.waiting import wait_for

OFFLINE = "export PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels; cd /wheels"
SETTINGS = "/etc/record-shim/settings"
NGINX_CONF = "/etc/nginx/nginx.conf"

# the sections whose commands the tests below run
TESTED = {
    "README.md": ["Install it on a storage box"],
    "docs/install.md": [
        *("Requirements", "Install", "What install does", "Options", "JSON output"),
        *("TLS", "Sites that certbot edited", "Upgrade"),
        *("After an upgrade of Debian", "Uninstall"),
    ],
    "docs/settings.md": ["Settings", "gunicorn"],
    "docs/links.md": ["Issuing links on the box"],
    "docs/operations.md": [
        *("Operations", "Logs", "check", "Keys", "Rotating a key", "JWE links"),
        *("The cached form", "Stopping", "Your own nginx lines"),
        *("Behind a load balancer", "Many slow clients", "Many slow disks"),
        *("Faster regular expressions", "What to watch"),
    ],
    "docs/security.md": ["Limits of ECB links"],
}


def nginx_is_restored(box: Box) -> str:
    """Return the command that undoes changes of nginx.conf and the site."""
    box.run(f"cp -a {SITE} {NGINX_CONF} /root")
    return (
        f"cp -a /root/nginx.conf {NGINX_CONF}; cp -a /root/record-shim.conf {SITE};"
        f" rm -rf {NGINX_D}/*; rm -f /etc/nginx/conf.d/record-shim-limit-*;"
        " systemctl reload nginx"
    )


@pytest.fixture
def fresh(bare: Box) -> Iterator[Box]:
    """A box that is set up, whose keys and settings a test may change."""
    bare.run(INSTALL)
    yield bare
    bare.run(f"{SHIM} uninstall --purge")


def test_every_command_is_tested() -> None:
    # .ci/run runs the first two, test_issuers.py the third
    elsewhere = {"Try it", "Test it", "Shell"}
    shown = {page: [x for x in sections(page) if x not in elsewhere] for page in TESTED}
    assert shown == TESTED


def test_installing(bare: Box) -> None:
    page = "docs/install.md"
    bare.run(commands(page, "Requirements"))
    install, key = sections(page)["Install"]
    # the README shows the same commands
    assert sections("README.md")["Install it on a storage box"] == [install, key]
    assert "✓ download: ECB link to" in bare.run(f"{OFFLINE}; {install}")
    own_key = bare.run(f"cat {KEY}")
    bare.run(f"umask 077; {SHIM} keygen >/root/pbx-key")
    link = bare.run(f"{SHIM} link --key-file /root/pbx-key {RECORD}")
    given = {"PBX_KEY_FILE": "/root/pbx-key", "LINK": f"http://{HOST}/{link}"}
    assert "✓ download: link to" in bare.run(with_values(key, given))
    assert bare.run(f"cat {KEY}") != own_key
    assert bare.status(link) == "200"
    before = bare.etc()
    assert "nothing was changed" in bare.run(commands(page, "What install does"))
    assert "\nrecords = /srv/records\n" in bare.run(commands(page, "Options"))
    report = json.loads(bare.run(commands(page, "JSON output")))
    assert report.keys() == {"steps", "findings"}
    assert report["steps"] == []
    assert all(finding["ok"] for finding in report["findings"])
    version = bare.run(f"{OFFLINE}; {commands(page, 'Upgrade')}").splitlines()[-1]
    assert version == bare.run(f"{SHIM} --version")
    assert bare.etc() == before
    assert bare.status(link) == "200"


def with_values(block: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        block = block.replace(name, f"'{value}'")
    return block


def test_the_steps_of_install_and_uninstall_as_json(bare: Box) -> None:
    """All actions that occur here are described, and so is every key."""
    page = (CHECKOUT / "docs/install.md").read_text("utf-8")
    described = set(re.findall(r"^\| `([a-z][a-z-]*)` \|", page, re.MULTILINE))
    newer = "sed -i '/record-shim.conf/s/^[0-9a-f]*/0/' /etc/record-shim/installed"
    kill = "strace -qq -e trace=rename -e inject=rename:signal=KILL:when=3 -o /dev/null"
    bare.run("mkdir -p /opt/records; cp -r /recordings -T /opt/records/300")
    steps = []
    for command in (
        f"{INSTALL} --dry-run --json",
        f"{INSTALL} --json",
        f"{SHIM} install --records /opt/records --json",
        f"echo '# edited' >>{SITE}; {SHIM} install --json",
        f"{newer}; {SHIM} install --json || true",
        f"{SHIM} install --force --json; rm {SITE}.bak",
        f"{kill} {SHIM} install --cache 2>/dev/null || true; {SHIM} install --json",
        f"{SHIM} uninstall --json",
        f"{SHIM} uninstall --purge --json",
    ):
        steps += json.loads(bare.run(command))["steps"]
    assert {key for step in steps for key in step} == {"action", "path", "detail"}
    assert {step["action"] for step in steps} == described


def test_uninstalling(fresh: Box) -> None:
    fresh.run("cp -a /opt/record-shim /root/venv")
    try:
        fresh.run(commands("docs/install.md", "Uninstall"))
        assert fresh.ran("ls /opt/record-shim").returncode != 0
    finally:
        fresh.run("rm -rf /opt/record-shim; mv /root/venv /opt/record-shim")
    assert fresh.run("ls /etc/record-shim") == "key"


def test_after_an_upgrade_of_debian(fresh: Box) -> None:
    """B16: with another Python the command says what to do, and that repairs the box."""
    token = fresh.link()
    fresh.run("cp -a /opt/record-shim /root/venv")
    try:
        fresh.run("cd /opt/record-shim/lib; mv python3.* python3.0")
        fresh.ran("systemctl restart record-shim")
        assert "run python3 -m venv --clear /opt/record-shim" in fresh.fails(
            f"{SHIM} check"
        )
        repair = commands("docs/install.md", "After an upgrade of Debian")
        fresh.run(f"{OFFLINE}; {repair}")
        assert fresh.status(token) == "200"
    finally:
        fresh.run("rm -rf /opt/record-shim; mv /root/venv /opt/record-shim")


def test_settings(fresh: Box) -> None:
    link = fresh.link()
    headers = f"curl -sI -H 'Host: {HOST}' http://127.0.0.1/{link}"
    assert "Content-Disposition: attachment" in fresh.run(headers)
    change, show_errors = sections("docs/settings.md")["Settings"]
    report = fresh.run(change)
    assert "✓ download: ECB link to" in report
    assert "Content-Disposition: inline" in fresh.run(headers)
    fresh.run(f"cp {SETTINGS} /root/settings; echo SHIM_DISPOSITION=x >>{SETTINGS}")
    fresh.ran("systemctl restart record-shim")
    wait_for(lambda: "SHIM_DISPOSITION 'x'" in fresh.ran(show_errors).stdout)
    fresh.run(f"cp /root/settings {SETTINGS}; {SHIM} restart")
    fresh.run(commands("docs/settings.md", "gunicorn"))
    wait_for(lambda: len(fresh.workers().split()) == 4)
    assert fresh.status(link) == "200"


def test_issuing_links(fresh: Box) -> None:
    fresh.run(f"{SHIM} keygen --output {JWE_KEY}; systemctl restart record-shim")
    ecb, jwe, show = sections("docs/links.md")["Issuing links on the box"]
    start = f"https://{HOST}/"
    assert fresh.run(ecb).startswith(start)
    assert fresh.run(jwe).startswith(start)
    assert fresh.run(jwe).count(".") == start.count(".") + 4
    for link in (fresh.link(), fresh.jwe_link()):
        report = fresh.run(with_values(show, {"LINK": f"http://{HOST}/{link}"}))
        assert report.startswith(RECORD)
        assert "✓ download: link to" in report


def test_logs(fresh: Box) -> None:
    """B29: rotated logs are searched too, and their number can be changed."""
    page = "docs/operations.md"
    logrotate = "/etc/logrotate.d/nginx"
    assert "rotate 14\n" in fresh.run(f"cat {logrotate}")
    fresh.run(f"cp -a {logrotate} /root/logrotate")
    foreign = "/300/2024-06-03-09-15-00_in_Отдел продаж_x7k2.mp3"
    fresh.run(f"cp -p /srv/records{RECORD} '/srv/records{foreign}'")
    try:
        assert fresh.status(fresh.link(f"'{foreign}'")) == "200"
        assert fresh.status(fresh.link()) == "200"
        wait_for(lambda: "_x7k2" in fresh.run("cat /var/log/nginx/record-shim.log"))
        # twice, so that it is compressed
        for _ in range(2):
            fresh.run(f"logrotate -f {logrotate}")
        assert fresh.status("A" * 64) == "404"
        wait_for(lambda: "refused: code=" in fresh.ran(commands(page, "Logs")).stdout)
        found = fresh.run(commands(page, "Logs"))
        assert "_uhl4.mp3" in found
        assert "_x7k2.mp3" in found
        assert "rotate 90\n" in fresh.run(f"cat {logrotate}")
        changed = fresh.ran(f"diff /root/logrotate {logrotate}").stdout
        assert changed.count("\n>") == 1, changed
        assert fresh.ran(f"logrotate -f {logrotate}").stderr == ""
    finally:
        fresh.run(f"rm '/srv/records{foreign}'; cp -a /root/logrotate {logrotate}")
    assert int(fresh.run(commands(page, "What to watch"))) > 0


def test_keys(fresh: Box) -> None:
    page = "docs/operations.md"
    link = fresh.link()
    assert fresh.status(link) == "200"
    assert "✗" not in fresh.run(commands(page, "Operations"))
    fresh.run(commands(page, "Keys"))
    assert "✓ download: JWE link to" in fresh.run(commands(page, "JWE links"))
    add, remove = sections(page)["Rotating a key"]
    fresh.run(add)
    assert fresh.link() != link
    assert [fresh.status(link), fresh.status(fresh.link())] == ["200", "200"]
    fresh.run(remove)
    assert [fresh.status(link), fresh.status(fresh.link())] == ["404", "200"]


def test_check_and_its_findings(fresh: Box) -> None:
    page = "docs/operations.md"
    fresh.run(f"{SHIM} keygen --output {JWE_KEY}; systemctl restart record-shim")
    output = fresh.run(commands(page, "check"))
    report = json.loads(output[output.index("\n{") :])
    assert report["sound"] is True
    keys = {key for finding in report["findings"] for key in finding}
    assert keys == {"name", "ok", "detail", "remedy"}
    section = (CHECKOUT / page).read_text("utf-8").split("\n## check\n")[1]
    table = section.split("\n## ")[0]
    described = re.findall(r"^\| `([a-z][a-z-]*)` \|", table, re.MULTILINE)
    names = list(dict.fromkeys(x["name"] for x in report["findings"]))
    sometimes = {"install", "link", "log", "certificate", "stopped", "cache"}
    assert names == [x for x in described if x not in sometimes]
    assert sometimes < set(described)


def test_the_cached_form(fresh: Box) -> None:
    install, forget = sections("docs/operations.md")["The cached form"]
    assert "✓ download: ECB link to" in fresh.run(install)
    assert fresh.status(fresh.link()) == "200"
    assert "removed from the cache: " in fresh.run(forget)
    assert fresh.status(fresh.link()) == "200"


def test_stopping(fresh: Box) -> None:
    """B30: stop and start, as the page shows them."""
    stop, start = sections("docs/operations.md")["Stopping"]
    token = fresh.link()
    fresh.run(stop)
    assert fresh.status(token) == "503"
    fresh.run(start)
    assert fresh.status(token) == "200"


def test_changes_of_nginx_conf(fresh: Box) -> None:
    page = "docs/operations.md"
    link = fresh.link()
    restore = nginx_is_restored(fresh)
    try:
        fresh.run(commands(page, "Your own nginx lines"))
        fresh.run(commands(page, "Behind a load balancer"))
        # twice: commands are repeated when their values are changed
        for _ in range(2):
            fresh.run(commands(page, "Many slow clients"))
            fresh.run(commands(page, "Many slow disks"))
            fresh.run(commands(page, "Faster regular expressions"))
        loaded = fresh.run("nginx -T -q")
        for line in (
            "set_real_ip_from 198.51.100.7;",
            "limit_conn record_shim_conn 20;",
        ):
            assert loaded.count(f"\n{line}\n") == 1
        assert loaded.count("\nadd_header Strict-Transport-Security ") == 1
        assert "\nlimit_conn_zone $binary_remote_addr " in loaded
        for line in (
            "worker_rlimit_nofile 16384;",
            "thread_pool default threads=128 max_queue=65536;",
            "pcre_jit on;",
        ):
            assert loaded.count(f"\n{line}\n") == 1
        assert fresh.status(link) == "200"
    finally:
        fresh.run(restore)


def test_the_tables_commands(box: Box) -> None:
    page = (CHECKOUT / "docs/operations.md").read_text("utf-8")
    tables = page.split("\n## What to watch\n")[1]
    rows = "\n".join(re.findall(r"^\|.*$", tables, re.MULTILINE))
    shown = [
        command
        for command in re.findall(r"`([^`]+)`", rows)
        if " " in command and "LINK" not in command
    ]
    assert len(shown) > 15
    for command in shown:
        result = box.ran(command)
        # grep and journalctl find nothing, which is good
        assert result.returncode in (0, 1), (command, result.stderr)
        assert "✗" not in result.stdout, result.stdout


def test_switching_to_jwe_links(fresh: Box) -> None:
    add, remove = sections("docs/security.md")["Limits of ECB links"]
    ecb = fresh.link()
    fresh.run(add)
    jwe = fresh.jwe_link()
    assert [fresh.status(ecb), fresh.status(jwe)] == ["200", "200"]
    fresh.run(remove)
    assert [fresh.status(ecb), fresh.status(jwe)] == ["404", "200"]
