"""record-shim stop and start."""

import subprocess
from collections.abc import Iterator

import pytest
from support.box import HOST, INSTALL, SHIM, SITE, Box
from support.waiting import wait_for

STOPPED = "/etc/record-shim/nginx.d/00-stopped.conf"
OTHER_SITE = "/etc/nginx/conf.d/other.conf"
NGINX = "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -a nginx:"
OTHER = "http://127.0.0.1:8081/"


@pytest.fixture(params=["", "--cache"], ids=["plain", "cached"])
def box(machine: Box, request: pytest.FixtureRequest) -> Iterator[Box]:
    """A box in either form, with another site in its nginx."""
    machine.run(f"{SHIM} uninstall --purge; rm -rf /etc/record-shim")
    machine.run(
        f"echo 'server {{ listen 8081; return 200 other; }}' >{OTHER_SITE};"
        f" {INSTALL} {request.param}; systemctl reload nginx"
    )
    yield machine
    machine.run(
        f"rm -rf {OTHER_SITE} {STOPPED} /srv/records/300/long.wav; systemctl start nginx;"
        f" {SHIM} uninstall --purge"
    )


def test_stop_ends_all_serving_until_start(box: Box) -> None:
    """B30: links return 503, also from the cache and after restarts, until start."""
    token = box.link()
    assert box.status(token) == "200"
    stopped = box.run(f"{SHIM} stop")
    assert stopped.splitlines() == [
        f"{STOPPED}: written",
        "nginx.service: reloaded",
        "links return 503 until you run record-shim start",
    ]
    assert box.status(token) == "503"
    assert box.status("") == "503"
    assert box.run(f"curl -s {OTHER}") == "other"
    assert box.run("systemctl is-active record-shim.service") == "active"
    box.run("systemctl restart nginx record-shim.socket record-shim.service")
    assert box.status(token) == "503"
    # an upgrade
    assert f"{SITE}: written" not in box.ran(f"{INSTALL}").stdout
    assert box.status(token) == "503"
    again = box.run(f"{SHIM} stop").splitlines()
    assert again == stopped.splitlines()[1:]
    assert box.run(f"{SHIM} start").splitlines() == [
        f"{STOPPED}: removed",
        "nginx.service: reloaded",
    ]
    assert box.status(token) == "200"
    assert "record-shim was not stopped" in box.run(f"{SHIM} start")
    assert box.status(token) == "200"


def test_stop_ends_running_downloads(box: Box) -> None:
    """B30: a download that began before ends at once."""
    box.run("head -c 100M /dev/zero >/srv/records/300/long.wav")
    token = box.link("/300/long.wav")
    url = f"http://127.0.0.1/{token}"
    curl = ("curl", "-sS", "--limit-rate", "10k", "-H", f"Host: {HOST}", url)
    served = "ss -Htn state established '( sport = :80 )' | wc -l"
    download = subprocess.Popen(box.enter(*curl, "-o", "/run/part"))
    try:
        wait_for(lambda: box.ran("test -s /run/part").returncode == 0)
        # it outlives an ordinary reload
        box.run("systemctl reload nginx")
        wait_for(lambda: "worker process is shutting down" in box.run(NGINX))
        assert box.run(served) == "1"
        box.run(f"{SHIM} stop")
        assert box.run(served) == "0"
        assert "shutting down" not in box.run(NGINX)
    finally:
        download.kill()
        download.wait()
    box.run(f"{SHIM} start")
    assert box.status(token, "-r 0-0") == "206"


def test_nginx_is_not_started(box: Box) -> None:
    """B30: stop and start leave a stopped nginx as it is."""
    token = box.link()
    box.run("systemctl stop nginx")
    assert box.run(f"{SHIM} stop").splitlines() == [
        f"{STOPPED}: written",
        "nginx is not running; when it is started, this still applies:",
        "links return 503 until you run record-shim start",
    ]
    assert box.ran("systemctl is-active nginx").stdout == "inactive\n"
    box.run("systemctl start nginx")
    assert box.status(token) == "503"
    box.run("systemctl stop nginx")
    assert box.run(f"{SHIM} start").splitlines() == [
        f"{STOPPED}: removed",
        "nginx is not running; run systemctl start nginx",
    ]
    assert box.ran("systemctl is-active nginx").stdout == "inactive\n"
    box.run("systemctl start nginx")
    assert box.status(token) == "200"


def test_a_site_that_cannot_be_stopped_is_named(box: Box) -> None:
    """B30: a site without the include, such as 0.1.0's, is not said to be stopped."""
    box.run(f"sed -i '/nginx.d/d' {SITE}; systemctl reload nginx")
    message = box.fails(f"{SHIM} stop")
    assert "the nginx site does not include /etc/record-shim/nginx.d/*.conf" in message
    assert (
        "add `include /etc/record-shim/nginx.d/*.conf;` to its server block" in message
    )
    assert box.ran(f"ls {STOPPED}").returncode != 0
    assert box.status(box.link()) == "200"


def test_start_after_an_interrupted_start(box: Box) -> None:
    """B30: start reloads nginx even if the file is gone."""
    token = box.link()
    box.run(f"{SHIM} stop; rm {STOPPED}")
    assert box.status(token) == "503"
    box.run(f"{SHIM} start")
    assert box.status(token) == "200"


def test_start_after_an_interrupted_uninstall(box: Box) -> None:
    """B30: what start rolls back does not stop serving again."""
    token = box.link()
    box.run(f"{SHIM} stop")
    box.ran(
        "strace -qq -e trace=rmdir,unlink -e inject=rmdir:signal=KILL:when=1"
        f" -o /dev/null {SHIM} uninstall"
    )
    box.run(f"{SHIM} start; {SHIM} check")
    assert box.status(token) == "200"
