"""JWE links on the box: the keys that exist decide which links open."""

from collections.abc import Iterator

import pytest
from support.box import INSTALL, JWE_KEY, KEY, RECORD, SHIM, Box
from support.waiting import wait_for

RESTART = "systemctl restart record-shim"


@pytest.fixture
def both(machine: Box) -> Iterator[Box]:
    """A box that opens links of both formats."""
    machine.run(f"{SHIM} uninstall --purge; {INSTALL}")
    machine.run(f"{SHIM} keygen --output {JWE_KEY}; {RESTART}")
    yield machine
    machine.run(f"{SHIM} uninstall --purge")


def test_a_key_file_enables_its_format(both: Box) -> None:
    report = both.run(f"{SHIM} check")
    assert "✓ keys: 1 for ECB links, 1 for JWE links" in report
    assert f"✓ key file {JWE_KEY}: private" in report
    assert "✓ download: ECB link" in report
    assert "✓ download: JWE link" in report
    assert [both.status(both.link()), both.status(both.jwe_link())] == ["200"] * 2
    assert both.run(f"stat -c '%a %U' {JWE_KEY}") == "600 root"


def test_a_format_whose_key_is_taken_away_opens_no_more(both: Box) -> None:
    ecb, jwe = both.link(), both.jwe_link()
    both.run(f"mv {KEY} /root/; {RESTART}")
    assert [both.status(ecb), both.status(jwe)] == ["404", "200"]
    report = both.run(f"{SHIM} check; {INSTALL}")
    assert "keys: 0 for ECB links, 1 for JWE links" in report
    # install makes no key whose format nobody asked for
    assert both.ran(f"ls {KEY}").returncode != 0
    both.run(f"mv /root/key {KEY}; mv {JWE_KEY} /root/; {RESTART}")
    assert [both.status(ecb), both.status(jwe)] == ["200", "404"]
    assert "keys: 1 for ECB links, 0 for JWE links" in both.run(f"{SHIM} check")


def test_without_any_key_the_service_says_what_is_missing(both: Box) -> None:
    both.run(f"mv {KEY} {JWE_KEY} /root/; systemctl stop record-shim")
    both.ran("systemctl start record-shim")
    assert "no key: neither of the key files" in both.run(
        "journalctl --no-pager -u record-shim -n 50"
    )
    report = both.ran(f"{SHIM} check")
    assert f"✗ no key: neither {KEY} nor {JWE_KEY} exists" in report.stdout
    both.run(f"mv /root/key {KEY}; mv /root/jwe-key {JWE_KEY}")
    wait_for(lambda: both.status(both.link()) == "200")


def test_one_key_for_both_formats_is_refused(both: Box) -> None:
    both.run(f"cp -p {JWE_KEY} /root/; cp -p {KEY} {JWE_KEY}")
    message = f"'{JWE_KEY}': shares a key with '{KEY}'"
    report = both.ran(f"{SHIM} check")
    assert report.returncode == 1
    assert message in report.stdout
    assert "the key files have changed since it started" in report.stdout
    before = both.etc()
    assert message in both.fails(INSTALL)
    assert both.etc() == before
    both.ran(RESTART)
    assert "shares a key with" in both.run("journalctl --no-pager -u record-shim -n 50")
    both.run(f"cp -p /root/jwe-key {JWE_KEY}")
    wait_for(lambda: both.status(both.jwe_link()) == "200")


def test_who_can_read_the_keys(both: Box) -> None:
    credentials = "/run/credentials/record-shim.service"
    for user in ("www-data", "nobody"):
        as_user = f"setpriv --reuid={user} --regid={user} --clear-groups"
        if user == "nobody":
            as_user = as_user.replace("--regid=nobody", "--regid=nogroup")
        for file in (KEY, JWE_KEY, f"{credentials}/key", f"{credentials}/jwe-key"):
            refused = both.ran(f"{as_user} cat {file}")
            assert refused.returncode != 0
            assert "Permission denied" in refused.stderr
    for key in (KEY, JWE_KEY):
        text = both.run(f"cat {key}")
        shown = "systemctl show record-shim; cat /proc/[0-9]*/cmdline"
        environments = "cat /proc/[0-9]*/environ"
        assert text not in both.run(f"({shown}; {environments}) 2>&1 | tr '\\0' ' '")


def test_rotation(both: Box) -> None:
    old = both.jwe_link()
    both.run(f"{SHIM} keygen --rotate {JWE_KEY}; {RESTART}")
    new = both.jwe_link()
    assert [both.status(old), both.status(new)] == ["200", "200"]
    both.run(f"sed -i 2d {JWE_KEY}; {RESTART}")
    assert [both.status(old), both.status(new)] == ["404", "200"]
    assert [both.status(both.link())] == ["200"]


@pytest.mark.parametrize("cache", ["", "--cache"])
def test_a_link_for_two_seconds(both: Box, cache: str) -> None:
    both.run(f"{INSTALL} {cache}")
    token = both.run(f"{SHIM} link --expires 2s --filename call.mp3 {RECORD}")
    assert both.status(token) == "200"
    wait_for(lambda: both.status(token) == "410")
    report = both.ran(f"{SHIM} check --url {token}")
    assert report.returncode == 1
    assert "✗ --url: expired at 20" in report.stdout
    fresh = both.run(f"{SHIM} check --url {both.jwe_link()}")
    assert "✓ download: link to" in fresh
    for log in ("cat /var/log/nginx/*", "journalctl --no-pager -u record-shim"):
        assert token not in both.run(log)


def test_uninstall_without_purge_keeps_both_keys(both: Box) -> None:
    output = both.run(f"{SHIM} uninstall")
    assert f"{KEY}: kept" in output
    assert f"{JWE_KEY}: kept" in output
    assert both.run("ls /etc/record-shim") == "jwe-key\nkey"
    assert f"{JWE_KEY}: removed" in both.run(f"{SHIM} uninstall --purge")
    assert both.ran("ls /etc/record-shim").returncode != 0
