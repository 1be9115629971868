import subprocess
from pathlib import Path

import pytest
from support.stack import Stack

from shim.box.nginx_config import (
    Directive,
    Listen,
    Site,
    find_site,
    has_name,
    listens_on,
    parse,
    rivals,
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
        listens=(Listen("127.0.0.1", 80, False), Listen("::1", 80, False)),
        server_name="storage.example.com",
        server_names=("storage.example.com",),
        socket="/run/record-shim/record-shim.sock",
        internal_prefix="/_records/",
        records="/srv/call records",
        certificate=None,
        certificate_key=None,
        certificates=(),
        behind_balancer=False,
        not_found="No recording here: the link is wrong, or the recording is gone.\n",
        unavailable=("The recordings are temporarily unavailable. Please try again.\n"),
        other_logs=(),
        file="/etc/nginx/nginx.conf",
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


def printed(**files: str) -> Directive:
    """The configuration of a box with these files in conf.d, as nginx -T prints it."""
    main = "http { include /etc/nginx/conf.d/*.conf; include mime.types; }"
    parts = {"nginx.conf": main, "mime.types": "types { text/html html; }"}
    parts |= {f"conf.d/{x.replace('_', '-')}.conf": y for x, y in files.items()}
    return parse(
        "".join(f"# configuration file /etc/nginx/{x}:\n{parts[x]}\n\n" for x in parts)
    )


def test_what_files_include() -> None:
    # in a pattern, * does not match a slash
    config = parse(
        "# configuration file /n/nginx.conf:\ninclude *.d/*.conf;\n"
        "# configuration file /n/a.d/b.conf:\nserver { include /n/c; }\n"
        "# configuration file /n/a.d/b/c.conf:\ngzip off;\n"
        "# configuration file /n/c:\ngzip on;\n"
    )
    gzip = Directive(["gzip", "on"], [], "/n/c")
    inner = Directive(["include", "/n/c"], [gzip], "/n/a.d/b.conf")
    server = Directive(["server"], [inner], "/n/a.d/b.conf")
    include = Directive(["include", "*.d/*.conf"], [server], "/n/nginx.conf")
    assert config.block == [include]


@pytest.mark.parametrize("where", ["server", "http", "another server"])
def test_a_load_balancer_is_trusted_in_the_server_or_for_all(where: str) -> None:
    line = "set_real_ip_from 192.0.2.1;"
    files = {"record_shim": rendered()}
    if where == "server":
        include = "include /etc/record-shim/nginx.d/*.conf;"
        assert include in files["record_shim"]
        files["record_shim"] = files["record_shim"].replace(include, line)
    elif where == "http":
        files["a"] = line
    else:
        files["a"] = f"server {{ {line} }}"
    site = find_site(printed(**files))
    assert site
    assert site.behind_balancer == (where != "another server")


@pytest.mark.parametrize(
    ("names", "good", "bad"),
    [
        ("storage.example.com", "Storage.Example.com.", "example.com"),
        ("STORAGE.example.com.", "storage.example.com", "a.storage.example.com"),
        ("a.example b.example", "b.example", "c.example"),
        ("*.example.com", "a.example.com", "example.com"),
        ("www.example.*", "www.example.org", "example.org"),
        (".example.com", "example.com", "an-example.com"),
        (".example.com", "a.example.com", "example.org"),
    ],
)
def test_the_names_of_a_site(names: str, good: str, bad: str) -> None:
    """B17: upper case and a final dot make no difference to nginx, nor to check."""
    site = find_site(around(rendered().replace("storage.example.com", names)))
    assert site
    assert has_name(site, good)
    assert not has_name(site, bad)


@pytest.mark.parametrize("name", ["_", "~^storage\\d+\\.example\\.com$"])
def test_a_site_for_any_name(name: str) -> None:
    site = find_site(around(rendered().replace("storage.example.com", f'"{name}"')))
    assert site
    assert has_name(site, "storage7.example.com")


def test_which_files_could_hide_the_site() -> None:
    """B18: first those with its name, then those on its ports."""
    files = {
        "record_shim": rendered(),
        "a": "server { listen 81; server_name other Storage.example.com.; }",
        "b": "server { listen 127.0.0.1; server_name other; }",
        "c": "server { listen 82; }",
    }
    config = printed(**files)
    site = find_site(config)
    assert site
    assert rivals(config, site) == ["/etc/nginx/conf.d/a.conf"]
    del files["a"]
    assert rivals(printed(**files), site) == ["/etc/nginx/conf.d/b.conf"]
    del files["b"]
    assert rivals(printed(**files), site) == []


def test_lua_in_another_file_does_not_hide_the_site() -> None:
    """Braces in Lua code are not nginx's, and need not match."""
    lua = (
        "server { location / { content_by_lua_block {"
        ' local t = { { "a", 1 } } ngx.say("}}") } } }'
    )
    text = "# configuration file /etc/nginx/nginx.conf:\nhttp {\n  include /etc/nginx/*.x;\n}\n"
    text += f"# configuration file /etc/nginx/a.x:\n{lua}\n"
    text += f"# configuration file /etc/nginx/b.x:\n{rendered()}\n"
    site = find_site(parse(text))
    assert site is not None
    assert site.server_name == "storage.example.com"
