import subprocess
from pathlib import Path

import pytest
from support.stack import Stack

from shim.box.nginx_config import (
    Directive,
    Site,
    find_site,
    listens_on,
    parse,
    worker_user,
)
from shim.box.templates import nginx_site


def rendered(**values: str) -> str:
    defaults = {
        "records": "/srv/call records",
        "listen": "80",
        "server_name": "storage.example.com",
        "internal_prefix": "/_records/",
    }
    return nginx_site(**(defaults | values))


def around(site: str) -> Directive:
    """The configuration with `site` among what else a box has, as nginx -T prints it."""
    return parse(
        "# configuration file /etc/nginx/nginx.conf:\n"
        "user www-data;\n"
        "http { log_format main '$remote_addr {\"a\\'b\"; # no comment';\n"
        "server { listen 8080 default_server; server_name other; location / { "
        'if ($a ~ "}") { return 200 "{ ; \\" }"; } proxy_pass http://other/; } }\n'
        f"{site}\n}}"
    )


def test_the_site_is_found_among_others() -> None:
    config = around(rendered())
    assert find_site(config) == Site(
        address="127.0.0.1",
        port=80,
        tls=False,
        server_name="storage.example.com",
        socket="/run/record-shim/record-shim.sock",
        internal_prefix="/_records/",
        records="/srv/call records",
        certificate=None,
        certificate_key=None,
        listen="80",
        cache_time=None,
    )
    assert worker_user(config) == "www-data"
    assert listens_on(config, 8080)
    assert not listens_on(config, 443)


@pytest.mark.parametrize(
    ("listen", "address", "port"),
    [
        ("8081", "127.0.0.1", 8081),
        ("192.0.2.1:80", "192.0.2.1", 80),
        ("0.0.0.0:80", "127.0.0.1", 80),
        ("[2001:db8::1]:81", "2001:db8::1", 81),
        ("[::]:81", "::1", 81),
    ],
)
def test_where_the_site_is_asked(listen: str, address: str, port: int) -> None:
    site = find_site(around(rendered(listen=listen)))
    assert site
    assert (site.address, site.port) == (address, port)


@pytest.mark.parametrize("version", [(1, 22, 1), (1, 26, 3)])
def test_the_tls_site_is_found_rather_than_the_one_that_redirects_to_it(
    version: tuple[int, int, int],
) -> None:
    site = nginx_site(
        records="/srv/records",
        listen=None,
        server_name="Storage.example.com.",
        internal_prefix="/_records/",
        certificate="/etc/tls/full chain.pem",
        certificate_key="/etc/tls/key.pem",
        nginx_version=version,
    )
    # whichever comes first
    head, _, redirects = site.rpartition("\nserver {")
    upstream, _, ours = head.rpartition("\nserver {")
    for text in (site, f"{upstream}\nserver {{{redirects}\nserver {{{ours}"):
        found = find_site(around(text))
        assert found
        assert (found.address, found.port, found.tls) == ("127.0.0.1", 443, True)
        assert found.server_name == "storage.example.com"
        assert found.certificate == "/etc/tls/full chain.pem"
        assert found.certificate_key == "/etc/tls/key.pem"


def test_what_certbot_makes_of_the_site() -> None:
    plain = "    listen 80;\n    listen [::]:80;\n"
    tls = (
        "    listen [::]:443 ssl ipv6only=on; # managed by Certbot\n"
        "    listen 443 ssl; # managed by Certbot\n"
    )
    site = rendered()
    assert plain in site
    moved = site.replace(plain, tls) + (
        "server { if ($host = storage.example.com) { return 301 https://$host$request_uri; }"
        " listen 80; server_name storage.example.com; return 404; }"
    )
    # with --no-redirect, port 80 stays
    for edited in (moved, site.replace(plain, plain + tls)):
        found = find_site(around(edited))
        assert found
        assert (found.address, found.port, found.tls) == ("::1", 443, True)


def test_a_configuration_without_the_site() -> None:
    assert find_site(around("")) is None
    assert find_site(around("upstream record-shim { server unix:/a; }")) is None
    assert worker_user(parse("http { }")) == "nobody"


def test_an_address_without_a_port_and_a_unix_socket() -> None:
    listens = "listen 127.0.0.1; server { listen unix:/run/a.sock; }"
    assert listens_on(parse(listens), 80)
    assert not listens_on(parse(listens), 443)


def test_what_nginx_prints_is_read(stack: Stack) -> None:
    config = Path(stack.root, "nginx.conf")
    printed = subprocess.run(
        ["nginx", "-T", "-q", "-c", config],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    site = find_site(parse(printed.stdout))
    assert site
    assert (site.port, site.records) == (stack.port, str(stack.records))
    assert site.socket == f"{stack.root}/endpoint.sock"
