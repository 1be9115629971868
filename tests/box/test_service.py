import json
import re

from support.box import HOST, KEY, NGINX_D, RECORD, SHIM, Box
from support.waiting import wait_for

AUDIT = "/var/log/nginx/record-shim.log"
JOURNAL = "journalctl --no-pager --all -u record-shim -b"


def audit(box: Box) -> list[dict[str, object]]:
    return [json.loads(x) for x in box.run(f"cat {AUDIT}").splitlines()]


def test_a_link_opens_and_goes_on_opening_after_a_restart(box: Box) -> None:
    token = box.link()
    assert box.status(token) == "200"
    box.run("systemctl restart record-shim")
    assert box.status(token) == "200"
    box.run("systemctl stop record-shim.service")
    assert box.status(token) == "200", "the socket did not start the service"


def test_how_long_a_start_takes(box: Box) -> None:
    token = box.link()
    box.run("systemctl stop record-shim.socket record-shim.service")
    started = (
        "start=$(date +%s%N); systemctl start record-shim.socket record-shim.service;"
        f" curl -fsS -o /dev/null -H 'Host: {HOST}' http://127.0.0.1/{token};"
        " echo $((($(date +%s%N) - start) / 1000000))"
    )
    print("systemctl start to the first answer:", box.run(started), "ms")


def test_the_service_is_hardened(box: Box) -> None:
    text = box.run("systemd-analyze security --no-pager record-shim.service")
    level = re.search(r"exposure level for \S+: ([0-9.]+)", text)
    assert level
    print("exposure level:", level[1])
    assert float(level[1]) <= 0.5
    for limit in ("MemoryMax", "TasksMax"):
        assert box.run(f"systemctl show -p {limit} --value record-shim").isdigit()


def test_the_service_has_no_network_and_sees_no_record(box: Box) -> None:
    assert box.run("ls /srv/records") == "300"
    inside = f"nsenter -t {box.main_pid()} -m -n"
    assert "300" not in box.run(f"{inside} ls /srv/records 2>&1 || true")
    assert box.run(f"{inside} ip -brief link | wc -l") == "1"
    # and nobody to ask for one
    hidden = box.run(f"{inside} ls /run/dbus/ 2>&1 || true")
    assert "system_bus_socket" in box.run("ls /run/dbus/")
    assert "system_bus_socket" not in hidden
    refused = box.run(f"{inside} curl -sS http://192.0.2.1/ 2>&1 || true")
    assert "connect" in refused


def test_records_that_lie_elsewhere_are_hidden_as_well(bare: Box) -> None:
    bare.run(
        "mkdir -p '/var/lib/call records'; cp -r /recordings '/var/lib/call records/300'"
    )
    report = bare.run(
        f"{SHIM} install --records '/var/lib/call records' --server-name {HOST}"
    )
    assert "✓ download" in report
    hidden = f"nsenter -t {bare.main_pid()} -m ls '/var/lib/call records' 2>&1 || true"
    assert "300" not in bare.run(hidden)


def test_a_bad_key_is_named_and_its_repair_needs_no_start(box: Box) -> None:
    token = box.link()
    box.run(f"cp -p {KEY} /root/key; echo secret > {KEY}")
    box.ran("systemctl restart record-shim")
    # more starts than systemd's limit allows in its time, were there one
    wait_for(lambda: box.run(f"{JOURNAL} | grep -c 'line 1: not a key'") >= "6")
    assert "secret" not in box.run(JOURNAL)
    box.run(f"cp -p /root/key {KEY}")
    wait_for(lambda: box.status(token) == "200")


def test_keys_change_without_a_dead_link(box: Box) -> None:
    old = box.link()
    box.run(f"{SHIM} keygen --rotate {KEY}; systemctl restart record-shim")
    new = box.link()
    assert new != old
    assert [box.status(old), box.status(new)] == ["200", "200"]
    box.run(f"sed -i 2d {KEY}; systemctl restart record-shim")
    assert [box.status(old), box.status(new)] == ["404", "200"]


def test_every_download_has_its_line_and_no_log_holds_a_token(box: Box) -> None:
    box.run(
        "mkdir -p /srv/records/400; cd /srv/records/400;"
        " for i in {1..200}; do cp /recordings/*uhl4.mp3 $i.mp3; done"
    )
    good = box.run(
        f"for i in {{1..200}}; do {SHIM} link --key-file {KEY} /400/$i.mp3; done"
    ).split()
    # of another key, so that all are refused
    bad = box.run(
        f"umask 077; {SHIM} keygen >/root/other;"
        f" for i in {{1..100}}; do {SHIM} link --key-file /root/other /400/$i.mp3; done"
    ).split()
    gone = [box.link("/400/gone.mp3")]
    before = len(audit(box))
    curl = f"curl -s -o /dev/null -A audit -H 'Host: {HOST}' -r 0-99"
    urls = [f"http://127.0.0.1/{x}" for x in (*good, *bad, *gone)]
    for start in range(0, len(urls), 50):
        box.run("; ".join(f"{curl} '{url}'" for url in urls[start : start + 50]))
    wait_for(lambda: len(audit(box)) >= before + len(urls))

    lines = [x for x in audit(box) if x["user_agent"] == "audit"]
    served = [x for x in lines if x["status"] == 206]
    assert sorted(str(x["record"]) for x in served) == sorted(
        f"/_records/400/{i}.mp3" for i in range(1, 201)
    )
    assert {(x["bytes"], x["range"], x["client"]) for x in served} == {
        (100, "bytes=0-99", "127.0.0.1")
    }
    refused = {str(x["request_id"]) for x in lines if x["status"] == 404}
    assert len(refused) == len(bad) + len(gone)
    in_journal = set(
        re.findall(r"refused: code=wrong_key request=([0-9a-f]{32})", box.run(JOURNAL))
    )
    assert len(refused & in_journal) == len(bad)

    # also under other names, and with what nginx itself finds wrong
    box.run(f"curl -s -o /dev/null http://127.0.0.1/{good[0]}")
    box.run(
        f"curl -s -o /dev/null -H 'Host: {HOST}' -H 'A b: c' http://127.0.0.1/{good[0]}"
    )
    logs = box.run("cat /var/log/nginx/*; journalctl --no-pager --all -b")
    assert "/_records/400/200.mp3" in logs
    assert [x for x in (*good, *bad, *gone) if x.rstrip("=") in logs] == []
    box.run("rm -r /srv/records/400")


def test_logrotate_rotates_the_log(box: Box) -> None:
    assert box.status(box.link(), "-A before") == "200"
    wait_for(lambda: "before" in box.run(f"cat {AUDIT}"))
    box.run("logrotate -f /etc/logrotate.d/nginx")
    assert "before" in box.run(f"cat {AUDIT}.1")
    assert box.status(box.link(), "-A after") == "200"
    wait_for(lambda: "after" in box.run(f"cat {AUDIT}"))


def test_the_clients_address_behind_a_load_balancer(bare: Box) -> None:
    bare.run(f"{SHIM} install --records /srv/records --server-name {HOST}")
    spoofed = "-H 'X-Forwarded-For: 203.0.113.9, 203.0.113.7'"
    bare.status("A" * 24, f"{spoofed} -A direct")
    wait_for(lambda: "direct" in bare.run(f"cat {AUDIT}"))
    bare.run(
        "cp /opt/record-shim/lib/python3*/site-packages/shim/nginx/load-balancer.conf"
        f" {NGINX_D}; sed -i s/192.0.2.1/127.0.0.1/ {NGINX_D}/load-balancer.conf;"
        " nginx -t -q && systemctl reload nginx"
    )

    def client(user_agent: str) -> object:
        bare.status("A" * 24, f"{spoofed} -A {user_agent}")
        return [x["client"] for x in audit(bare) if x["user_agent"] == user_agent][-1:]

    wait_for(lambda: client("balanced") == ["203.0.113.7"])
    assert [x["client"] for x in audit(bare) if x["user_agent"] == "direct"] == [
        "127.0.0.1"
    ]
    bare.run(f"rm {NGINX_D}/load-balancer.conf")


def test_the_path_is_the_readmes(box: Box) -> None:
    assert box.run(f"{SHIM} open --key-file {KEY} {box.link()}") == RECORD
