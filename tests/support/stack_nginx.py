"""The nginx configuration of a stack."""

import grp
import os
import pwd
from typing import TYPE_CHECKING, NamedTuple

from shim.box.layout import ACME_DIR, NGINX_D

if TYPE_CHECKING:
    from .stack import Stack


class Limits(NamedTuple):
    """What a worker of nginx may have open."""

    connections: int
    descriptors: int


# of the nginx.conf and the service that Debian installs
DEBIAN = Limits(768, 1024)

NGINX_CONF = """\
{user}
daemon off;
worker_processes 2;
pid {root}/nginx.pid;
error_log {root}/logs/nginx.error.log;
worker_rlimit_nofile {limits.descriptors};
events {{ worker_connections {limits.connections}; }}
http {{
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log off;
    client_body_temp_path {root}/tmp/body;
    proxy_temp_path {root}/tmp/proxy;
    fastcgi_temp_path {root}/tmp/fastcgi;
    uwsgi_temp_path {root}/tmp/uwsgi;
    scgi_temp_path {root}/tmp/scgi;
    include {root}/conf.d/*.conf;
}}
"""


def configure_nginx(
    stack: "Stack", page: str, listen_options: str, limits: Limits
) -> None:
    """Write the stack's nginx.conf, its site and, if it has one, the static site."""
    root = stack.root
    (root / "nginx.conf").write_text(
        NGINX_CONF.format(root=root, user=user_directive(), limits=limits)
    )
    cache = ["--cache", f"--cache-time={stack.cache_time}", f"--cache-dir={root}/cache"]
    site = stack.command(
        "render",
        "nginx",
        f"--records={stack.records}",
        f"--listen=127.0.0.1:{stack.port}",
        f"--socket={root}/endpoint.sock",
        f"--log-dir={root}/logs",
        *(cache if stack.cache_time else []),
        *stack.site_options,
    )
    if page:
        (root / "page" / "index.html").write_text(page, encoding="utf-8")
        # The site ends with the closing brace of its server block.
        site = site.rstrip().removesuffix("}") + (
            f"    location = / {{ root {root}/page; try_files /index.html =404;"
            " include /etc/nginx/mime.types; add_header Cache-Control no-store; }\n}\n"
        )
    # not the ones of a box that the tests happen to run on
    site = site.replace(NGINX_D, f"{root}/nginx.d").replace(ACME_DIR, f"{root}/acme")
    # where only root can listen
    site = site.replace("127.0.0.1:80;", f"127.0.0.1:{stack.http_port};")
    listen = f"listen 127.0.0.1:{stack.port}"
    site = site.replace(f"{listen};", f"{listen}{listen_options};")
    (root / "conf.d" / "record-shim.conf").write_text(site)
    if stack.static_port:
        (root / "conf.d" / "static.conf").write_text(
            f"server {{ listen 127.0.0.1:{stack.static_port}; root {stack.records};"
            " server_tokens off; types { audio/wav wav; }"
            " include /etc/nginx/mime.types; }\n"
        )


def user_directive() -> str:
    """Return nginx's directive for the user of its workers, which only root can set."""
    return "" if os.getuid() else f"user nobody {nogroup()};"


def nogroup() -> str:
    """Return the name of user nobody's group, which differs between systems."""
    return grp.getgrgid(pwd.getpwnam("nobody").pw_gid).gr_name
