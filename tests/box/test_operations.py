import re

from support.box import CHECKOUT, HOST, INSTALL, SITE, Box

DOCUMENT = (CHECKOUT / "docs" / "operations.md").read_text("utf-8")


def blocks(title: str) -> str:
    section = DOCUMENT.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return "\n".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL))


def test_the_sections_commands(box: Box) -> None:
    before = box.etc()
    token = box.link()
    assert box.status(token) == "200"
    assert box.status("A" * 64) == "404"
    box.run(blocks("Keys"))
    assert "✓ round trip: a sealed link brings" in box.run(blocks("Sealed links"))
    box.run("rm /etc/record-shim/jwe-key; systemctl restart record-shim")
    assert "refused" in box.run(blocks("Logs"))
    offline = "export PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels; cd /wheels"
    assert "✓ round trip" in box.run(f"{offline}; {blocks('Upgrade')}")
    assert box.etc() == before
    box.run(f"cp -a {SITE} /etc/nginx/nginx.conf /root")
    assert "✓ round trip" in box.run(blocks("Links that are asked for again and again"))
    assert "✓ round trip" in box.run(INSTALL)
    box.run(blocks("Behind a load balancer"))
    for _ in range(2):
        box.run(blocks("Many slow clients"))
    assert "\nworker_rlimit_nofile 16384;" in box.run("nginx -T -q")
    assert "\n    set_real_ip_from 192.0.2.1;" in box.run("nginx -T -q")
    assert box.status(token) == "200"
    box.run(
        f"cp -a /root/nginx.conf /etc/nginx/; cp -a /root/record-shim.conf {SITE};"
        " systemctl reload nginx"
    )


def test_the_tables_commands(box: Box) -> None:
    tables = DOCUMENT.split("\n## What to watch\n")[1]
    commands = [
        command
        for command in re.findall(r"`([^`]+)`", tables)
        if " " in command and "LINK" not in command
    ]
    assert len(commands) > 10
    for command in commands:
        result = box.ran(command)
        # grep -c finds nothing: good; the log that it searches may be there or not
        assert result.returncode in (0, 1), (command, result.stderr)
        assert "✗" not in result.stdout, result.stdout


def test_tls_as_certbot_sets_it_up(box: Box) -> None:
    token = box.link()
    options = re.search(r"^certbot (.*)$", blocks("TLS"), re.MULTILINE)
    assert options
    box.run(
        "cd /root; openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=x -days 2"
        f" -addext subjectAltName=DNS:{HOST} -keyout tls.key -out tls.crt 2>/dev/null"
    )
    # what certbot does once it has the certificate
    box.run(
        f"certbot install --non-interactive {options[1]} --cert-path /root/tls.crt"
        " --fullchain-path /root/tls.crt --key-path /root/tls.key"
    )
    try:
        https = f"--cacert /root/tls.crt --connect-to {HOST}:443:127.0.0.1:443"
        fetched = box.run(f"curl -sS {https} https://{HOST}/{token} | wc -c")
        assert int(fetched) > 10_000
        assert box.status(token) == "200"
        output = box.run(
            "/opt/record-shim/bin/record-shim install --records /srv/records"
            f" --server-name {HOST}"
        )
        assert f"{SITE}: edited here, kept" in output
        assert "✓ round trip" in output
        assert token.rstrip("=") not in box.run("cat /var/log/nginx/*")
    finally:
        box.run(
            f"/opt/record-shim/bin/record-shim uninstall; rm -f {SITE}.bak;"
            " rm -rf /etc/letsencrypt"
        )
