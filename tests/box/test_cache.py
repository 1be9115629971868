"""What the box remembers about links, with `install --cache`."""

from collections.abc import Iterator

import pytest
from support.box import INSTALL, KEY, RECORD, SHIM, Box

CACHE = "/run/record-shim-cache"


@pytest.fixture
def box(machine: Box) -> Iterator[Box]:
    machine.run(f"{SHIM} uninstall --purge")
    report = machine.run(f"{INSTALL} --cache")
    assert "✓ download: ECB link" in report
    yield machine
    machine.run(f"{SHIM} uninstall")


def test_a_cached_link_opens_while_the_endpoint_is_down(box: Box) -> None:
    known = box.link()
    fresh = box.link(RECORD.replace("/300/", "/300//"))
    assert box.status(known) == "200"
    box.run("systemctl stop record-shim.socket record-shim.service")
    assert [box.status(known), box.status(fresh)] == ["200", "503"]
    box.run("systemctl start record-shim.socket")
    assert box.status(fresh) == "200"


def test_a_withdrawn_key_and_a_deleted_record_are_forgotten(box: Box) -> None:
    box.run("cp /srv/records/300/*uhl4.mp3 /srv/records/300/gone.mp3")
    old, gone = box.link(), box.link("/300/gone.mp3")
    box.run(f"{SHIM} keygen --rotate {KEY}; sed -i 2d {KEY}")
    assert [box.status(old), box.status(gone)] == ["200", "200"]
    box.run("systemctl restart record-shim; rm /srv/records/300/gone.mp3")
    assert box.status(old) == "200", "it was not remembered"
    assert box.run(f"{SHIM} forget").startswith("removed from the cache: ")
    assert [box.status(old), box.status(gone)] == ["404", "404"]
    assert box.status(box.link()) == "200"


def test_a_refusal_is_not_cached(box: Box) -> None:
    box.run(f"umask 077; {SHIM} keygen >/root/new")
    new = box.run(f"{SHIM} link --key-file /root/new {RECORD}")
    assert box.status(new) == "404"
    box.run(f"cat /root/new >>{KEY}; systemctl restart record-shim")
    assert box.status(new) == "200"


def test_the_cache_is_readable_by_nginx_only(box: Box) -> None:
    assert box.status(box.link()) == "200"
    assert box.run(f"stat -c '%a %U' {CACHE}") == "700 www-data"
    assert box.run(f"stat -f -c %T {CACHE}") == "tmpfs"


def test_forget_without_a_cache(box: Box) -> None:
    assert "nginx.service: reloaded" in box.run(f"{INSTALL} --no-cache")
    assert "the cache is not in use" in box.run(f"{SHIM} forget")
    assert box.status(box.link()) == "200"
    box.run(f"{SHIM} uninstall")
    assert box.ran(f"ls {CACHE}").returncode != 0


def test_a_removed_key_stays_removed_when_the_cache_comes_back(box: Box) -> None:
    old = box.link()
    assert box.status(old) == "200"
    box.run(f"{INSTALL} --no-cache")
    box.run(f"{SHIM} keygen --rotate {KEY}; sed -i 2d {KEY}")
    box.run("systemctl restart record-shim")
    assert box.status(old) == "404"
    box.run(f"{INSTALL} --cache")
    assert box.status(old) == "404"
