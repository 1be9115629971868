"""What record-shim check finds, on a box."""

import json
import re

import pytest
from support.box import HOST, INSTALL, KEY, RECORD, SHIM, SITE, Box

# what is broken, how it is mended, what check says
FAULTS = {
    "another key": (
        f"cp -p {KEY} /root/key; {SHIM} keygen >{KEY}",
        f"cp -p /root/key {KEY}",
        "✗ record-shim.service: the key files have changed since it started",
    ),
    "a broken key": (
        f"cp -p {KEY} /root/key; echo secret >{KEY}",
        f"cp -p /root/key {KEY}",
        "✗ key file '/etc/record-shim/key', line 1: not a key",
    ),
    "a key for all": (f"chmod 644 {KEY}", f"chmod 600 {KEY}", "✗ key file"),
    "a key for a group": (
        f"chmod 640 {KEY}; chgrp www-data {KEY}",
        f"chmod 600 {KEY}; chgrp root {KEY}",
        "readable by users other than root",
    ),
    "the service stopped": (
        "systemctl stop record-shim.service",
        "systemctl start record-shim.service",
        "✗ record-shim.service: inactive; run systemctl start record-shim.service",
    ),
    "the socket disabled": (
        "systemctl disable -q record-shim.socket",
        "systemctl enable -q record-shim.socket",
        "run systemctl enable record-shim.socket",
    ),
    "nginx stopped": (
        "systemctl stop nginx",
        "systemctl start nginx",
        "✗ nginx.service: inactive; run systemctl start nginx.service",
    ),
    "nginx broken": (
        "echo 'nonsense;' >/etc/nginx/conf.d/other.conf",
        "rm /etc/nginx/conf.d/other.conf",
        '✗ nginx: unknown directive "nonsense"',
    ),
    "the site missing": (
        f"mv {SITE} /root/; systemctl reload nginx",
        f"mv /root/record-shim.conf {SITE}; systemctl reload nginx",
        "✗ nginx: the site is missing",
    ),
    "the site not loaded": (
        f"mv {SITE} /root/; systemctl restart nginx; mv /root/record-shim.conf {SITE}",
        "systemctl reload nginx",
        "✗ download: ",
    ),
    "the records closed": (
        "chmod 700 /srv/records",
        "chmod 755 /srv/records",
        "✗ directory '/srv/records': www-data cannot enter it; run chmod o+x",
    ),
    "a record closed": (
        "chmod 600 /srv/records/300/*",
        "chmod 644 /srv/records/300/*",
        "www-data cannot read it: Permission denied",
    ),
    "the records gone": (
        "mount -t tmpfs none /srv/records",
        "umount /srv/records",
        "✗ records directory '/srv/records': no record in it; check whether it is mounted",
    ),
    "another prefix": (
        (
            "echo SHIM_INTERNAL_PREFIX=/_calls/ >>/etc/record-shim/settings;"
            " systemctl restart record-shim"
        ),
        "sed -i '$d' /etc/record-shim/settings; systemctl restart record-shim",
        "✗ internal prefix: /_records/ in nginx, /_calls/ in the endpoint",
    ),
    "settings that the service does not know": (
        "echo SHIM_DISPOSITION=inline >>/etc/record-shim/settings",
        "sed -i '$d' /etc/record-shim/settings",
        "✗ record-shim.service: /etc/record-shim/settings has changed since it started",
    ),
    "a wrong setting": (
        "echo SHIM_DISPOSITION=no >>/etc/record-shim/settings",
        "sed -i '$d' /etc/record-shim/settings",
        "✗ /etc/record-shim/settings: SHIM_DISPOSITION 'no': unknown value",
    ),
    "a key file that leads nowhere": (
        "ln -s /nonexistent /etc/record-shim/jwe-key",
        "rm /etc/record-shim/jwe-key",
        "✗ key file /etc/record-shim/jwe-key: No such file or directory",
    ),
    "the socket file missing": (
        "mv /run/record-shim/record-shim.sock /run/record-shim/gone",
        "mv /run/record-shim/gone /run/record-shim/record-shim.sock",
        "run systemctl restart record-shim.socket record-shim.service",
    ),
    "the socket closed": (
        "chmod 600 /run/record-shim/record-shim.sock",
        "chmod 660 /run/record-shim/record-shim.sock",
        "www-data cannot connect: Permission denied",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_check_finds(box: Box, fault: str) -> None:
    make, mend, message = FAULTS[fault]
    box.run(make)
    try:
        report = box.ran(f"{SHIM} check")
    finally:
        box.run(mend)
    bad = [x for x in report.stdout.splitlines() if x.startswith("✗")]
    assert report.returncode == 1, report.stdout
    assert report.stderr == ""
    assert message in "\n".join(bad), report.stdout
    assert "secret" not in report.stdout
    assert "✗" not in box.run(f"{SHIM} check")


def test_check_fetches_the_record_it_is_told_to(box: Box) -> None:
    report = box.run(f"{SHIM} check --path {RECORD}")
    assert f"✓ download: ECB link to '/srv/records{RECORD}'" in report
    url = f"https://{HOST}/{box.link()}?from=crm"
    assert RECORD in box.run(f"{SHIM} check --url '{url}'")
    report = box.run(f"echo '<{url}>' | {SHIM} check --url -")
    assert "✓ download: link to" in report
    for option, message in {
        "--path /300/nothing.mp3": "nothing.mp3' does not exist; check the path",
        "--path /999/nothing.mp3": "directory '/srv/records/999' does not exist",
        "--path /300/../x.mp3": "segment that starts with a dot",
        f"--url https://{HOST}/files/{box.link()}": "more than one slash",
        "--url 'http://[x/y'": "not a URL",
        f"--url http://other/{box.link()}": "leads to other, but the site is",
        f"--url https://{HOST}/{'A' * 64}": "another key; see wrong_key in docs/",
        "--path /300": "is a directory; name a record",
    }.items():
        report = box.ran(f"{SHIM} check {option}")
        assert report.returncode == 1
        assert re.search(f"✗ .*{message}", report.stdout), report.stdout


def test_json_of_check(bare: Box) -> None:
    installed = json.loads(bare.run(f"{INSTALL} --json"))
    report = json.loads(bare.run(f"{SHIM} check --json"))
    assert report == {"sound": True, "findings": installed["findings"]}
    assert [x["name"] for x in report["findings"]] == [
        *("keys", "key-file", "settings", "unit", "unit", "unit", "service"),
        *("site", "socket", "prefix", "record", "download"),
    ]
    assert all(x["ok"] and not x["remedy"] for x in report["findings"])
    bare.run("systemctl stop nginx")
    try:
        broken = bare.ran(f"{SHIM} check --json")
    finally:
        bare.run("systemctl start nginx")
    assert broken.returncode == 1
    report = json.loads(broken.stdout)
    assert report["sound"] is False
    assert [x for x in report["findings"] if not x["ok"]] == [
        {
            "name": "unit",
            "ok": False,
            "detail": "nginx.service: inactive",
            "remedy": "run systemctl start nginx.service;"
            " journalctl -u nginx.service -n 20 says why it stopped",
        }
    ]
