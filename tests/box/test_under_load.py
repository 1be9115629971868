import json
import re
from collections.abc import Iterator

import pytest
from support.box import HOST, KEY, RECORD, RECORDING, SHIM, SITE, Box, mount_records
from support.waiting import wait_for

pytestmark = pytest.mark.usefixtures("alone")

PIP = "/opt/record-shim/bin/pip install -q --no-index --no-deps --force-reinstall"
ROTATE = f"{SHIM} keygen --rotate {KEY}; systemctl restart record-shim"


def memory(box: Box) -> int:
    """Return what the endpoint's processes take, in kB, shared pages shared out."""
    return sum(
        int(box.run(f"awk '/^Pss:/{{print $2}}' /proc/{pid}/smaps_rollup"))
        for pid in (box.main_pid(), *box.workers().split())
    )


def test_no_download_fails_during_changes(box: Box) -> None:
    """B9: also while install changes units, the site and options."""
    box.run("mkdir -p /opt/records; cp -r /recordings -T /opt/records/300")
    # the first key makes these links and stays the last
    tokens = [box.link(), box.link().rstrip("=") + "?x"]
    changes = {
        "restart": "systemctl restart record-shim",
        "reload": "systemctl reload record-shim",
        "worker killed": "kill -KILL {worker}",
        "main process killed": "systemctl kill --signal=KILL --kill-whom=main record-shim",
        "upgrade": f"{PIP} {{wheel}}; {SHIM} install",
        "other records, so another unit": f"{SHIM} install --records /opt/records",
        "cached form": f"{SHIM} install --cache",
        "former records": f"{SHIM} install --records /srv/records",
        "plain form": f"{SHIM} install --no-cache",
        "nginx reload": "systemctl reload nginx",
        # the second line is the key of the round before, the last the one of the links
        "key added, old one removed": f"{ROTATE}; sed -i 2d {KEY};"
        " systemctl restart record-shim",
    }
    done = dict.fromkeys(changes, 0)
    box.run(f"rm -f /run/stop; {ROTATE}")
    arguments = ("/run/stop", "60000", HOST, f"/srv/records{RECORD}")
    with box.python("load.py", *arguments, *(f"/{x}" for x in tokens)) as load:
        try:
            for turn in range(2):
                for name, change in changes.items():
                    wait_for(lambda: box.main_pid() != "0" and box.workers() != "")
                    other = "other/" if turn % 2 == 0 else ""
                    wheel = f"/wheels/{other}record_shim-*.whl"
                    # the newest: after a reload the others are on their way out
                    worker = box.workers().split()[-1]
                    output = box.run(change.format(worker=worker, wheel=wheel))
                    if "records" in name or "form" in name:
                        assert f"{SITE}: written" in output
                    wait_for(lambda: box.status(tokens[0]) == "200")
                    done[name] += 1
        finally:
            # without it the load never ends, and so neither does this block
            box.run("touch /run/stop")
            box.run(f"{PIP} /wheels/record_shim-*.whl; {SHIM} install")
        assert load.stdout
        counts = json.loads(load.stdout.read())
    print(done, counts)
    assert counts["wrong"] == 0, counts
    assert counts["right"] >= 60_000


@pytest.fixture
def roomy(box: Box) -> Iterator[Box]:
    """A box whose nginx accepts more connections than Debian's, as the docs describe."""
    box.run(
        "head -c 5000000 /dev/urandom >/srv/records/300/5MB.wav;"
        " cp /etc/nginx/nginx.conf /root;"
        " sed -i 's/worker_connections .*/worker_connections 8192;/;"
        " /^events/i worker_rlimit_nofile 16384;' /etc/nginx/nginx.conf;"
        " nginx -t -q && systemctl restart nginx"
    )
    yield box
    box.run(
        "cp /root/nginx.conf /etc/nginx/nginx.conf; systemctl restart nginx;"
        " rm /srv/records/300/5MB.wav"
    )


def test_thousands_of_slow_clients_hold_no_worker(roomy: Box) -> None:
    box = roomy
    token, slow = box.link(), box.link("/300/5MB.wav")
    wait_for(lambda: box.status(token) == "200")

    def read_slowly(connections: int) -> dict[str, float]:
        arguments = (str(connections), "50000", f"{HOST}:80", f"/{slow}", f"/{token}")
        with box.python("slow.py", *arguments) as clients:
            assert clients.stdout
            return json.loads(clients.stdout.read())

    # as many requests as later, so that the workers have all that they ever load
    read_slowly(1)
    processes = 1 + len(box.workers().split())
    before = memory(box)
    counts = read_slowly(2000)
    after = memory(box)
    print(counts, f"endpoint: {before} kB before, {after} kB after")
    assert (counts["opened"], counts["served"]) == (2000, 2000)
    # 16 MB a process, so 80 MB with the four workers of two cores
    assert before < 16_000 * processes
    assert after < before * 1.05


def test_a_full_log_disk_stops_no_download(box: Box) -> None:
    token = box.link()
    log = "/var/log/nginx"
    box.run(
        f"mount -t tmpfs -o size=256k none {log}; systemctl reload nginx;"
        f" head -c 1m /dev/zero >{log}/full || true"
    )
    try:
        assert [box.status(token) for _ in range(20)] == ["200"] * 20
        assert box.status("A" * 24) == "404"
        box.run(f"rm {log}/full")

        def is_logged() -> bool:
            assert box.status(token, "-A again") == "200"
            return "again" in box.run(f"cat {log}/record-shim.log")

        wait_for(is_logged)
    finally:
        box.run(f"umount -l {log}; systemctl reload nginx")


def test_records_are_unmounted_and_mounted_again(box: Box) -> None:
    token = box.link()
    assert box.status(token) == "200"
    box.run("umount -l /srv/records")
    try:
        assert {box.status(token) for _ in range(20)} == {"404"}
        report = box.ran(f"{SHIM} check").stdout
        assert "✗ records directory '/srv/records': no record in it" in report
    finally:
        mount_records(box)
    assert box.status(token) == "200"


def test_a_hundred_thousand_mutated_tokens(box: Box) -> None:
    token = box.link()
    before = box.main_pid(), box.workers()
    with box.python("mutated.py", "100000", "300", HOST, token) as asking:
        assert asking.stdout
        counts = json.loads(asking.stdout.read())
    print(counts)
    assert sum(counts.values()) == 100_000
    assert not re.search('"5', json.dumps(counts)), counts
    assert counts["404"] > 90_000
    assert (box.main_pid(), box.workers()) == before
    assert box.run(
        f"curl -sS -H 'Host: {HOST}' http://127.0.0.1/{token} | wc -c"
    ) == str(len(RECORDING))
