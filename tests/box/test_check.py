"""What record-shim check finds, on a box."""

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.box import HOST, INSTALL, KEY, NGINX_D, RECORD, SHIM, SITE, Box
from support.waiting import wait_for

CHECK = f"{SHIM} check"
OTHER_SITE = "/etc/nginx/conf.d/another.conf"
RELOAD = "systemctl reload nginx"


def found(box: Box, name: str, command: str = CHECK) -> str:
    """Return what `command` prints for the last finding with this name, or nothing."""
    report = json.loads(box.ran(f"{command} --json").stdout)
    line = ""
    for finding in report["findings"]:
        if finding["name"] == name:
            mark = "✗" if not finding["ok"] else "!" if finding["remedy"] else "✓"
            line = f"{mark} {finding['detail']}; {finding['remedy']}"
    return line


# what is broken, how it is mended, what check says
FAULTS = {
    "settings that gunicorn refuses": (
        "echo GUNICORN_CMD_ARGS=--nonsense >>/etc/record-shim/settings",
        "sed -i '$d' /etc/record-shim/settings",
        "correct GUNICORN_CMD_ARGS in /etc/record-shim/settings",
    ),
    "a setting of gunicorn that it does not have yet": (
        "echo GUNICORN_CMD_ARGS=--workers=3 >>/etc/record-shim/settings",
        "sed -i '$d' /etc/record-shim/settings",
        "✗ record-shim.service: /etc/record-shim/settings has changed since it started",
    ),
    "newer packages than those that run": (
        "touch /opt/record-shim/lib/python3*/site-packages/flask-*.dist-info",
        f"{SHIM} install",
        "its Python packages have changed since it started; run record-shim install",
    ),
    "a log with whole links": (
        (
            f"echo 'access_log /var/log/nginx/x.log;' >{NGINX_D}/x.conf;"
            " systemctl reload nginx"
        ),
        f"rm {NGINX_D}/x.conf; systemctl reload nginx; rm -f /var/log/nginx/x.log",
        "a log that contains whole links: access_log /var/log/nginx/x.log;",
    ),
    "another site with its name": (
        (
            "echo 'server { listen [::]:80; server_name storage.example.com; }'"
            " >/etc/nginx/conf.d/a.conf; systemctl reload nginx"
        ),
        "rm /etc/nginx/conf.d/a.conf; systemctl reload nginx",
        (
            "another site has the name storage.example.com on the same address; remove it from"
            " /etc/nginx/conf.d/a.conf"
        ),
    ),
    "a return of the operator's": (
        f"echo 'return 503;' >{NGINX_D}/x.conf; systemctl reload nginx",
        f"rm {NGINX_D}/x.conf; systemctl reload nginx",
        "the site returns 503 to every request; look for return in the files in",
    ),
    "another key": (
        f"cp -p {KEY} /root/key; {SHIM} keygen >{KEY}",
        f"cp -p /root/key {KEY}",
        "key files have changed since it started; run record-shim restart",
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
        "✗ nginx: nothing listens on 127.0.0.1 port 80; run systemctl reload nginx",
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
    "B18: a site with the same name": (
        f"echo 'server {{ server_name {HOST}; return 404; }}' >{OTHER_SITE}; {RELOAD}",
        f"rm {OTHER_SITE}; {RELOAD}",
        (
            f"✗ nginx: another site has the name {HOST} on the same address; remove it from"
            f" {OTHER_SITE}"
        ),
    ),
    "B18: a site on this address alone": (
        f"echo 'server {{ listen 127.0.0.1:80; return 200; }}' >{OTHER_SITE}; {RELOAD}",
        f"rm {OTHER_SITE}; {RELOAD}",
        f"correct server_name or listen in {OTHER_SITE}",
    ),
    "serving stopped": (
        f"mkdir -p {NGINX_D}; echo 'return 503;' >{NGINX_D}/00-stopped.conf; {RELOAD}",
        f"rm {NGINX_D}/00-stopped.conf; {RELOAD}",
        "✗ serving is stopped (record-shim stop); run record-shim start",
    ),
    "nginx halted": (
        "systemctl kill -s STOP nginx",
        "systemctl kill -s CONT nginx",
        "✗ nginx: no answer on 127.0.0.1 port 80; run systemctl restart nginx",
    ),
    "nginx's configuration in a FIFO": (
        f"mkfifo {OTHER_SITE}",
        f"rm {OTHER_SITE}",
        "✗ nginx -T -q has not ended after 30 s; run /usr/sbin/nginx -T -q",
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


def test_check_without_an_installation(bare: Box) -> None:
    error = bare.fails(f"{SHIM} check")
    assert error.startswith(
        "record-shim: record-shim is not installed; run record-shim"
    )


def test_check_fetches_the_record_it_is_told_to(box: Box) -> None:
    report = box.run(f"{SHIM} check --path {RECORD}")
    assert f"✓ download: ECB link to '/srv/records{RECORD}'" in report
    url = f"http://{HOST}/{box.link()}?from=crm"
    assert RECORD in box.run(f"{SHIM} check --url '{url}'")
    report = box.run(f"echo '<{url}>' | {SHIM} check --url -")
    assert "✓ download: link to" in report
    for option, message in {
        "--path /300/nothing.mp3": "nothing.mp3' does not exist; check the path",
        "--path /999/nothing.mp3": "directory '/srv/records/999' does not exist",
        "--path /300/../x.mp3": "segment that starts with a dot",
        f"--url http://{HOST}/files/{box.link()}": "more than one slash",
        "--url 'http://[x/y'": "not a URL",
        f"--url http://other/{box.link()}": "leads to other, but the site is",
        f"--url http://{HOST}/{'A' * 64}": "another key; see wrong_key in docs/",
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
        *("clock", "site", "socket", "prefix", "record", "download"),
    ]
    assert all(x["ok"] for x in report["findings"])
    # a container's clock is the machine's, which may not be synchronized
    warnings = {x["name"] for x in report["findings"] if x["remedy"]}
    assert warnings <= {"clock"}
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


# what makes a special file $f in the records directory, what check says of it
SPECIAL_FILES = {
    "a FIFO": ("mkfifo $f", "is a FIFO; name a record"),
    "a link to a FIFO": ("mkfifo -m 666 /run/fifo; ln -s /run/fifo $f",
        "is a link to a FIFO: /run/fifo; name a record"),
    "a device": ("mknod -m 666 $f c 1 5", "is a device; name a record"),
    "a link to a device": ("ln -s /dev/zero $f",
        "is a link to a device: /dev/zero; name a record"),
    "a socket": ("python3 -c \"import socket; socket.socket(1).bind('$f')\"",
        "is a socket; name a record"),
    "a directory": ("mkdir $f", "is a directory; name a record"),
    "a link to itself": ("ln -s $f $f", "Too many levels of symbolic links"),
}  # fmt: skip


@pytest.fixture
def records(box: Box) -> Iterator[str]:
    """An empty records directory, in place of the other."""
    box.run("mount -t tmpfs -o mode=755 none /srv/records")
    yield "/srv/records"
    box.run("umount -l /srv/records; rm -f /run/fifo")


@pytest.mark.parametrize("kind", SPECIAL_FILES)
def test_a_special_file_in_the_records_directory(
    box: Box, records: str, kind: str
) -> None:
    """A4: neither check nor install opens anything but a regular file."""
    make, message = SPECIAL_FILES[kind]
    box.run(f"f={records}/special; {make}")
    assert "no record in it; check whether it is mounted" in found(box, "record")
    report = box.ran(f"{CHECK} --path /special").stdout
    assert re.search(f"✗ .*'{records}/special'.*{message}", report), report
    box.run(f"cp /recordings/*.mp3 {records}")
    for command in (CHECK, INSTALL):
        assert "✓ download" in box.run(command)


def test_the_newest_long_record_is_the_proof(box: Box, records: str) -> None:
    """B21: not an empty file, nor one that is still being written."""
    box.run(f"mkdir -p {records}/2025/01 {records}/2026/01; cd {records}; umask 022;"
            " head -c 1000 /dev/urandom | tee 2025/01/a.wav >2026/01/b.wav;"
            " head -c 999 /dev/urandom >2026/01/short.wav; touch 2026/01/empty.wav;"
            " touch -d '-3 days' 2025/01/a.wav; touch -d '-2 days' 2026/01/b.wav;"
            " head -c 2000 /dev/urandom >2026/01/now.wav;"
            " ln -s 2026/01/now.wav link.wav; cp 2026/01/now.wav .hidden.wav")  # fmt: skip
    proof = f"✓ record '{records}/2026/01/b.wav': www-data can read it"
    assert proof in found(box, "record")
    assert "1000 bytes, identical" in found(box, "download")
    # without one, a record that is new, and without that, a short one
    box.run(f"cd {records}; rm */01/[ab].wav")
    assert f"✓ record '{records}/2026/01/now.wav'" in found(box, "record")
    box.run(f"cd {records}; rm 2026/01/now.wav link.wav")
    assert re.search(
        "! record .*short.wav': www-data can read it, but it has only 999 bytes; check",
        found(box, "record"),
    )
    assert "✓ download" in found(box, "download")


def test_a_big_records_directory_and_a_big_record(box: Box, records: str) -> None:
    """B21: the search and the download are bounded."""
    box.run(f"cd {records}; umask 022; mkdir a b c; seq 25000 | tee >(cd a; xargs touch)"
            " | (cd c; xargs touch); touch -d '-1 day' a c;"
            " truncate -s 40G b/big.wav; touch -d '-1 hour' b/big.wav")  # fmt: skip
    report = found(box, "download")
    assert "big.wav', the first 16777216 of 42949672960 bytes, identical" in report
    box.run(f"mkdir -p {NGINX_D}; echo 'limit_rate 1k;' >{NGINX_D}/slow.conf; {RELOAD}")
    try:
        slow = f"curl -sm 1 -o /dev/null -H 'Host: {HOST}' 127.0.0.1/{box.link('/b/big.wav')}"
        # reloaded
        wait_for(
            lambda: int(box.run(f"{slow} -w '%{{size_download}}' || true")) < 10000
        )
        report = found(box, "download")
    finally:
        box.run(f"rm {NGINX_D}/slow.conf; {RELOAD}")
    # slow, but links open
    assert re.search("✓ download: .*the first [0-9]{5} of 42949672960 bytes", report)


def test_a_records_directory_that_does_not_answer(box: Box) -> None:
    """A4: check and install end, although SIGKILL does not end whoever reads there."""
    box.run("[ -e /dev/fuse ] || mknod -m 666 /dev/fuse c 10 229")
    with box.python("hanging_disk.py", "/srv/records") as disk:
        assert disk.stdout
        pid = int(disk.stdout.readline())
        try:
            report = box.ran(f"{CHECK} | cat").stdout
            # twice, because the child that is late must not keep the lock
            for _ in range(2):
                error = box.fails(INSTALL)
                assert "--records '/srv/records': no answer within 20 s; check" in error
        finally:
            box.run(f"kill {pid}; umount -l /srv/records")
    assert "✗ records directory '/srv/records': no answer within 20 s" in report
    assert "download" not in report


def test_a_systemd_that_does_not_answer(box: Box) -> None:
    os.kill(box.leader, signal.SIGSTOP)
    try:
        report = box.ran(CHECK)
    finally:
        os.kill(box.leader, signal.SIGCONT)
    assert report.returncode == 1
    assert report.stderr == ""
    assert re.search(
        "✗ systemctl show .* record-shim.socket has not ended after 10 s; run systemctl",
        report.stdout,
    )


def test_an_empty_records_directory(bare: Box) -> None:
    """B10: a new box has no recordings yet, but later one should have some."""
    bare.run("mount -t tmpfs none /srv/records")
    empty = "records directory '/srv/records': no record in it"
    try:
        assert f"! {empty} yet; run check when there is one" in bare.run(INSTALL)
        assert f"✗ {empty}; check whether" in bare.ran(CHECK).stdout
    finally:
        bare.run("umount /srv/records")


def test_a_clock_that_is_slow(box: Box) -> None:
    """B14: with such a clock, expired links open."""
    report = found(box, "clock")
    assert report.startswith(("✓ clock: synchronized", "! clock: not synchronized"))
    slow = f"faketime 2020-01-01 {CHECK}"
    report = found(box, "clock", slow)
    assert "✗ clock: 2020-01-01, which is before the installation on 20" in report
    # unless the files tell, the records do
    box.run("touch -d 2019-01-01 /etc/record-shim/installed")
    try:
        report = found(box, "clock", slow)
    finally:
        box.run("touch /etc/record-shim/installed")
    assert "✗ clock: 2020-01-01, but record '/srv/records/300/" in report


def test_a_cache_that_was_removed(bare: Box) -> None:
    """B26: every link gets an empty reply then, and no log says why."""
    cache = "/run/record-shim-cache"
    bare.run(f"{INSTALL} --cache")
    assert found(bare, "cache") == f"✓ cache {cache}: nginx's user can write to it; "
    for harm, problem in {
        f"rm -r {cache}": "was missing",
        f"chown root {cache}": "could not be written to",
    }.items():
        bare.run(harm)
        report = bare.ran(CHECK)
        assert report.returncode == 1
        assert f"✗ cache {cache}: {problem}, so links failed" in report.stdout
        # nginx -T creates it
        assert "✓ download" in report.stdout
        assert "✗" not in bare.run(CHECK)


def test_no_token_is_sent_to_another_site(box: Box) -> None:
    """B18: check's own link would land in the log of that site."""
    log = "/var/log/nginx/another.log"
    site = f"server {{ listen 80; server_name {HOST}; access_log {log}; return 404; }}"
    box.run(f"echo '{site}' >{OTHER_SITE}; {RELOAD}")
    try:
        token = box.link()
        for options in ("", f"--path {RECORD}", f"--url http://{HOST}/{token}"):
            report = box.ran(f"{CHECK} {options}").stdout
            assert "another site has the name" in report
            assert "download" not in report
        assert "/" + token not in box.run(f"cat {log}")
    finally:
        box.run(f"rm {OTHER_SITE}; {RELOAD}; rm {log}")


def test_links_that_lead_elsewhere(box: Box) -> None:
    """B17, B1: the name in any case, the port and the scheme of --url count."""
    token = box.link()
    for link in (f"http://{HOST.upper()}./", f"HTTP://{HOST}:80/", "/", ""):
        assert "✓ download: link to" in box.run(f"{CHECK} --url '{link}{token}'")
    elsewhere = {
        f"https://{HOST}/": "an https link, but the site has no certificate; run install",
        f"http://{HOST}:8080/": "leads to port 8080, but nginx serves the site on 80;",
        "http://other.example/": f"leads to other.example, but the site is {HOST};",
        f"ftp://{HOST}/": "neither an https nor an http link",
        f"http://{HOST}:x/": "not a URL",
    }
    for link, message in elsewhere.items():
        report = box.ran(f"{CHECK} --url '{link}{token}'").stdout
        assert re.search(f"✗ --url: .*{message}", report), report
        assert "✓ download" not in report
    # a load balancer has its own port and certificate
    balancer = f"{NGINX_D}/load-balancer.conf"
    box.run(
        f"mkdir -p {NGINX_D}; echo 'set_real_ip_from 192.0.2.1;' >{balancer}; {RELOAD}"
    )
    try:
        report = box.run(f"{CHECK} --url https://{HOST}/{token}")
    finally:
        box.run(f"rm {balancer}; {RELOAD}")
    assert (
        "✓ link: leads to a load balancer; tested here over HTTP on port 80" in report
    )
    assert "✓ download: link to" in report


@pytest.fixture
def tls(bare: Box, tmp_path: Path) -> Iterator[Box]:
    """A box with a certificate for 90 days."""
    bare.run(f"{INSTALL} {bare.put_certificate(tmp_path)}")
    yield bare
    bare.run(f"{SHIM} uninstall --purge; rm /root/*.pem /root/*.key")


def test_the_dates_of_the_certificate(tls: Box) -> None:
    """B1: check compares the dates as a client does."""
    about = f"certificate for {HOST}:"
    for days, message in {
        "+0": f"✓ {about} expires on 20..-..-.., in 90 days; clients can verify it; ",
        "+70": f"! {about} expires on 20..-..-.., in 20 days; renew it",
        "+84": f"✗ {about} expires on 20..-..-.., in 6 days; renew it",
        "+91": f"✗ {about} expired on 20..-..-..; renew it",
        "-2": f"✗ {about} not valid before 20..-..-..; run date",
    }.items():
        report = found(tls, "certificate", f"faketime -f {days}d {CHECK}")
        assert re.match(message, report), report


def test_the_name_and_the_chain_of_the_certificate(tls: Box, tmp_path: Path) -> None:
    """B1: a certificate for another name, or of nobody whom clients know."""
    tls.put_certificate(tmp_path / "other", "other.example")
    assert found(tls, "certificate") == (
        "✗ certificate: nginx still serves another one than that in"
        " /root/certificate.pem;"
        f" run {RELOAD}.service"
    )
    tls.run(RELOAD)
    served = (
        f"openssl s_client -connect 127.0.0.1:443 -servername {HOST} </dev/null 2>&1"
    )
    wait_for(lambda: "other.example" in tls.run(served))
    assert found(tls, "certificate") == (
        f"✗ certificate for other.example: not valid for {HOST};"
        f" use a certificate for {HOST}"
    )
    tls.run(
        "rm /usr/local/share/ca-certificates/tests.crt; update-ca-certificates --fresh"
    )
    assert (
        "clients cannot verify it, because its issuer 'tests' is neither known nor in the"
        " certificate file; use the file with the whole chain"
    ) in found(tls, "certificate")
    tls.run("cd /root; openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=x -days 90"
            f" -addext subjectAltName=DNS:{HOST} -keyout certificate.key"
            f" -out certificate.pem 2>&1; {RELOAD}")  # fmt: skip
    wait_for(lambda: "self-signed" in found(tls, "certificate"))
    assert "a certificate authority, as docs/install.md" in found(tls, "certificate")
    without = (
        f"unshare -m sh -c 'mount -t tmpfs none /etc/ssl/certs; exec {CHECK} --json'"
    )
    report = json.loads(tls.ran(without).stdout)
    assert {
        "name": "certificate",
        "ok": False,
        "detail": "certificate: not verified, because this box has no CA certificates",
        "remedy": "run apt-get install ca-certificates",
    } in report["findings"]


def test_https_links(tls: Box) -> None:
    """B1: --url is tested as a client would use it."""
    token = tls.link()
    report = tls.run(f"{CHECK} --url https://{HOST}/{token}")
    for start in ("link: leads to", f"certificate for {HOST}", "download: link to"):
        assert f"✓ {start}" in report
    exposed = tls.run(f"{CHECK} --url http://{HOST}/{token}")
    base = f"https://{HOST}"
    assert (
        f"! link: redirected to {base}, but sent unencrypted before; correct the base URL"
        f" in the issuer to {base}\n"
    ) in exposed
    assert "✓ download: link to" in exposed
    for link, message in {
        f"https://{HOST}:444/": "leads to port 444, but nginx serves the site on 443",
        f"http://{HOST}:8080/": "127.0.0.1 port 8080: .*Connection refused; run record-shim install",
    }.items():
        report = tls.ran(f"{CHECK} --url {link}{token}").stdout
        assert re.search(f"✗ --url: .*{message}", report), report
        assert "✓ download" not in report
    logs = tls.run("cat /var/log/nginx/*; journalctl --no-pager --all -b")
    assert token.rstrip("=") not in logs


def test_nothing_on_the_port_of_https(tls: Box) -> None:
    """B1: the certificate is in the configuration, but nginx has not loaded it."""
    tls.run(f"cp {SITE} /root/tls.pem; {SHIM} install --no-certificate >/dev/null")
    tls.run(f"cp /root/tls.pem {SITE}")
    report = tls.ran(CHECK).stdout
    assert f"✗ nginx: nothing listens on 127.0.0.1 port 443; run {RELOAD}" in report
    tls.run(RELOAD)
    assert "✓ download" in tls.run(CHECK)
