"""TLS on a box: from the commands in the documentation to certificates that are renewed."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.acme import authority
from support.box import HOST, INSTALL, RECORDING, SHIM, SITE, Box
from support.documentation import commands, sections
from support.recordings import DATA
from support.waiting import wait_for

PAGE = "docs/install.md"
LIVE = f"/etc/letsencrypt/live/{HOST}"
OLD_SITE = (DATA / "site-0.2.0.conf").read_text("utf-8")


@pytest.fixture
def fresh(bare: Box) -> Iterator[Box]:
    """A box that is set up without TLS."""
    bare.run(f"{INSTALL} --no-certificate")
    yield bare
    bare.run(
        f"{SHIM} uninstall --purge; rm -f {SITE}.bak* /root/*.pem /root/*.key;"
        " rm -rf /etc/letsencrypt /var/lib/letsencrypt"
    )


def fetched(box: Box, token: str, options: str = "--cacert /root/authority.pem") -> str:
    """Return the size of what https answers, its status and HTTP's version."""
    return box.run(
        f"curl -sS -o /dev/null -w '%{{size_download}} %{{http_code}} %{{http_version}}'"
        f" --connect-to {HOST}:443:127.0.0.1:443 {options} https://{HOST}/{token}"
    )


def serial(box: Box) -> str:
    return box.run(
        f"openssl s_client -connect 127.0.0.1:443 -servername {HOST} </dev/null"
        " 2>/dev/null | openssl x509 -noout -serial"
    )


WHOLE = f"{len(RECORDING)} 200 2"


def test_the_site_with_tls_in_both_forms(fresh: Box, tmp_path: Path) -> None:
    """B2: --force and --cache keep TLS."""
    token = fresh.link()
    tls = fresh.put_certificate(tmp_path)
    shown = fresh.run(f"{INSTALL} {tls}")
    assert "certificate: none → /root/certificate.pem" in shown
    assert "✓ download" in shown
    for options in ("", "--cache", "--force", "--no-cache"):
        fresh.run(f"{SHIM} install {options}")
        tested = fresh.ran("nginx -t")
        assert tested.returncode == 0
        # such as: the "listen ... http2" directive is deprecated
        assert "[warn]" not in tested.stderr
        assert fetched(fresh, token) == WHOLE
        # as long as a token can be
        for wrong in ("none", "A" * 8000):
            assert fetched(fresh, wrong).endswith(" 404 2")
    # an edited site too
    fresh.run(f"echo '# mine' >>{SITE}; {SHIM} install --force")
    assert fetched(fresh, token) == WHOLE


def test_port_80_redirects_and_logs_nothing(fresh: Box, tmp_path: Path) -> None:
    token = fresh.link()
    fresh.run(f"{INSTALL} {fresh.put_certificate(tmp_path)}")
    for address in ("127.0.0.1", "[::1]"):
        redirect = fresh.run(
            f"curl -sS -o /dev/null -w '%{{http_code}} %{{redirect_url}}' -H 'Host: {HOST}'"
            f" http://{address}/{token}"
        )
        assert redirect == f"301 https://{HOST}/{token}"
    # sent to the wrong port, and with what nginx itself finds wrong
    assert fresh.status(token, "--connect-to ::127.0.0.1:443") == "301"
    fresh.run(f"curl -s -H 'Host: {HOST}' -H 'A b: c' http://127.0.0.1/{token} || true")
    assert fetched(fresh, token) == WHOLE
    logs = fresh.run("cat /var/log/nginx/*; journalctl --no-pager --all -b")
    assert token.rstrip("=") not in logs


def test_a_certificate_of_another_tool_is_replaced(fresh: Box, tmp_path: Path) -> None:
    token = fresh.link()
    tls = fresh.put_certificate(tmp_path / "old")
    fresh.run(f"{INSTALL} {tls}")
    old = serial(fresh)
    fresh.put_certificate(tmp_path / "new")
    assert serial(fresh) == old
    _, after_renewal, turn_off = sections(PAGE)["TLS"]
    fresh.run(after_renewal)
    # nginx reloads in the background
    wait_for(lambda: serial(fresh) != old)
    assert fetched(fresh, token) == WHOLE
    assert "certificate: /root/certificate.pem → none" in fresh.run(turn_off)
    assert fresh.ran(f"curl -sS https://127.0.0.1/{token}").returncode == 7
    assert fresh.status(token) == "200"


@pytest.mark.parametrize("command", ["install --no-certificate", "uninstall"])
def test_a_deleted_certificate_is_not_in_the_way(
    fresh: Box, tmp_path: Path, command: str
) -> None:
    """B19: nginx cannot load the site any more, and the command repairs that."""
    fresh.ran(f"{INSTALL} {fresh.put_certificate(tmp_path)}")
    fresh.run("rm /root/certificate.pem")
    assert "/root/certificate.pem" in fresh.fails(f"{SHIM} install --cache")
    fresh.run(f"{SHIM} {command}; nginx -t -q")


def test_certbot_gets_renews_and_deploys_a_certificate(
    fresh: Box, tmp_path: Path
) -> None:
    token = fresh.link()
    prepare, certonly, *install = sections(PAGE)["TLS"][0].splitlines(keepends=True)
    with authority(fresh, tmp_path) as acme:
        fresh.run(prepare)
        acme.certbot(certonly)
        assert "✓ download" in fresh.run("".join(install))
        trusted = f"--cacert {acme.root}"
        assert fetched(fresh, token, trusted) == WHOLE
        old = serial(fresh)
        # as certbot.timer does when the time has come
        acme.certbot("certbot renew --force-renewal --no-random-sleep-on-renew")
        wait_for(lambda: serial(fresh) != old)
        assert fetched(fresh, token, trusted) == WHOLE
        assert "nothing to change" in fresh.run(f"{SHIM} install")
        assert token.rstrip("=") not in fresh.run("cat /var/log/nginx/*")


def as_it_was_before(box: Box) -> None:
    """Give the box the site of version 0.2.0, which had no options for TLS."""
    digest = hashlib.sha256(OLD_SITE.encode()).hexdigest()
    (Path(f"/proc/{box.leader}/root") / SITE.lstrip("/")).write_text(OLD_SITE)
    box.run(
        f"sed -i 's|^[0-9a-f]*  {SITE}$|{digest}  {SITE}|' /etc/record-shim/installed;"
        " sha256sum -c --quiet /etc/record-shim/installed;"
        " rm /etc/record-shim/install.conf; systemctl reload nginx"
    )


@pytest.mark.parametrize("redirect", ["--no-redirect", "--redirect"])
def test_a_site_that_certbot_edited_is_moved_over(
    fresh: Box, tmp_path: Path, redirect: str
) -> None:
    token = fresh.link()
    as_it_was_before(fresh)
    with authority(fresh, tmp_path) as acme:
        # as the documentation said then
        acme.certbot(f"certbot --nginx {redirect} -d {HOST}")
        assert "managed by Certbot" in fresh.run(f"cat {SITE}")
        trusted = f"--cacert {acme.root}"
        assert fetched(fresh, token, trusted).startswith(f"{len(RECORDING)} 200 ")

        shown = fresh.run(f"{SHIM} install")
        assert f"{SITE}.bak" in shown
        assert "✓ download" in shown
        options = fresh.run("cat /etc/record-shim/install.conf")
        assert f"certificate = {LIVE}/fullchain.pem\n" in f"{options}\n"
        assert f"certificate-key = {LIVE}/privkey.pem\n" in f"{options}\n"
        assert "managed by Certbot" not in fresh.run(f"cat {SITE}")
        assert fetched(fresh, token, trusted) == WHOLE

        # with the old options it can still be renewed, and with the new ones
        renew = "certbot renew --force-renewal --no-random-sleep-on-renew"
        site, old = fresh.run(f"cat {SITE}"), serial(fresh)
        acme.certbot(renew)
        wait_for(lambda: serial(fresh) != old)
        newer = serial(fresh)
        acme.certbot(commands(PAGE, "Sites that certbot edited"))
        wait_for(lambda: serial(fresh) != newer)
        newest = serial(fresh)
        renewal = fresh.run(f"cat /etc/letsencrypt/renewal/{HOST}.conf")
        assert re.search(r"^authenticator = webroot$", renewal, re.MULTILINE)
        acme.certbot(renew)
        wait_for(lambda: serial(fresh) not in (old, newer, newest))
        assert fresh.run(f"cat {SITE}") == site
        assert fetched(fresh, token, trusted) == WHOLE
        assert "nothing to change" in fresh.run(f"{SHIM} install")
