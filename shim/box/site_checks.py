"""Checks of the nginx site: who answers, whether it serves, and its cache."""

import http.client
import os
from typing import NamedTuple
from urllib.parse import urlsplit

from ..errors import Misconfigured
from ..tokens import PASTED
from . import layout
from .nginx import Answering, answering, asked
from .nginx_config import Directive, Listen, Site, has_name, rivals
from .results import Finding, bad, good, warning
from .templates import canonical_name

_RELOAD = f"run systemctl reload {layout.NGINX_UNIT}"


class Door(NamedTuple):
    """Where a link enters: under which host name, and at which of the site's addresses."""

    host: str
    listen: Listen


def own_door(site: Site) -> Door:
    """Return where the links of the site enter, as far as nginx's configuration says."""
    return Door(canonical_name(site.server_name), site.listens[0])


def door_of(url: str, site: Site) -> tuple[Door, Finding | None]:
    """Return where the link `url` enters, and what there is to say about that.

    Raises Misconfigured when it does not lead to the site. DNS is not asked.
    """
    try:
        parts = urlsplit(url.strip(PASTED))
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Misconfigured("--url: not a URL") from None
    if not host:
        return own_door(site), None
    if parts.path.count("/") != 1:
        raise Misconfigured(
            "--url: this link has more than one slash after the host name, but the site"
            " serves https://HOST/TOKEN",
            "look for a directory in the base URL, or for base64 instead of base64url",
        )
    host = canonical_name(host)
    if not has_name(site, host):
        raise Misconfigured(
            f"--url: this link leads to {host}, but the site is {site.server_name}",
            "correct the base URL in the issuer, or run install with another"
            " --server-name",
        )
    secure = {"https": True, "http": False}.get(parts.scheme)
    if secure is None:
        raise Misconfigured("--url: neither an https nor an http link")
    port = port or (443 if secure else 80)
    here = [x for x in site.listens if (x.port, x.tls) == (port, secure)]
    if here:
        found = good("link", f"link: leads to {host} port {port}")
        return Door(host, here[0]), found
    listen = site.listens[0]
    if listen.tls and not secure:
        return Door(host, listen), _redirected(host, listen, port)
    if site.behind_balancer:
        tested = f"tested here over {'HTTPS' if listen.tls else 'HTTP'}"
        return Door(host, listen), good(
            "link",
            f"link: leads to a load balancer; {tested} on port {listen.port}",
        )
    if not listen.tls and secure:
        raise Misconfigured(
            "--url: this is an https link, but the site has no certificate",
            "run install with --certificate and --certificate-key; or, if a load"
            f" balancer terminates TLS, copy load-balancer.conf to {layout.NGINX_D}"
            " (docs/operations.md)",
        )
    ports = " and ".join(dict.fromkeys(str(x.port) for x in site.listens))
    raise Misconfigured(
        f"--url: this link leads to port {port}, but nginx serves the site on {ports}",
        "correct the base URL in the issuer, or run install with another --listen",
    )


def check_site(
    config: Directive, site: Site, door: Door, valid: Finding
) -> tuple[Answering | None, Finding]:
    """Check that our site answers at `door`, before a token is sent there.

    `valid` is what is found then.
    """
    address, port, _ = door.listen
    try:
        who = answering(site, door.listen, door.host)
    except ConnectionRefusedError:
        problem = f"nginx: nothing listens on {address} port {port}"
        return None, bad("site", problem, f"{_RELOAD}, then ss -ltn")
    except TimeoutError:
        problem = f"nginx: no answer on {address} port {port}"
        return None, bad("site", problem, f"run systemctl restart {layout.NGINX_UNIT}")
    except (OSError, http.client.HTTPException) as error:
        problem = f"nginx at {address} port {port}: {error}"
        return None, bad("site", problem, "run journalctl -u nginx -n 20")
    if who is Answering.OTHER:
        files = " and ".join(rivals(config, site)) or "nginx's configuration"
        return who, bad(
            "site",
            f"nginx: another site answers for {door.host} on {address} port {port}",
            f"{_RELOAD}; if it stays so, correct server_name or listen in {files}",
        )
    return who, valid


def check_stopped(who: Answering | None) -> Finding | None:
    """Return what is wrong if `record-shim stop` is in force."""
    if os.path.lexists(layout.STOPPED):
        problem = "serving is stopped (record-shim stop)"
        return bad("stopped", problem, "run record-shim start")
    if who is Answering.STOPPED_SITE:
        problem = "the site returns 503 to every request"
        remedy = f"look for return in the files in {layout.NGINX_D}"
        return bad("stopped", problem, remedy)
    return None


def check_logs(site: Site) -> Finding | None:
    """Return what is wrong if the site has a log that would contain tokens."""
    if not site.other_logs:
        return None
    return bad(
        "log",
        f"nginx: the site has a log that contains whole links: {site.other_logs[0]}",
        f"remove this line from {layout.NGINX_D}, or from wherever it is",
    )


def cache_status() -> tuple[int, int] | None:
    """Return owner and mode of the cache of opened tokens, None if it is missing."""
    try:
        status = os.stat(layout.CACHE_DIR)
    except OSError:
        return None
    return status.st_uid, status.st_mode


def check_cache(directory: str, before: tuple[int, int] | None) -> Finding:
    """Check that nginx could use the cache of opened tokens.

    `before` is its cache_status() before nginx tested its configuration: this creates the
    directory, and gives it to nginx's user (ngx_create_paths).
    """
    if directory == layout.CACHE_DIR and before != cache_status():
        was = "was missing" if before is None else "could not be written to"
        return bad(
            "cache",
            f"cache {directory}: {was}, so links failed; it has just been repaired",
            "find out which program deletes or changes it",
        )
    return good("cache", f"cache {directory}: nginx's user can write to it")


def _redirected(host: str, listen: Listen, port: int) -> Finding:
    """Check that the site redirects links to `port` to https; raises Misconfigured."""
    plain = Listen(listen.address, port, tls=False)
    where = f"{listen.address} port {port}"
    usual = "run record-shim install"
    try:
        with asked(plain, host, "/") as answer:
            status, location = answer.status, answer.getheader("Location", "")
    except (OSError, http.client.HTTPException) as error:
        raise Misconfigured(
            f"--url: an http link, but {where}: {error}", usual
        ) from None
    if status not in (301, 302, 307, 308) or not location.startswith("https://"):
        raise Misconfigured(
            f"--url: an http link, but {where} does not redirect to https", usual
        )
    base = location.rstrip("/")
    return warning(
        "link",
        f"link: redirected to {base}, but sent unencrypted before",
        f"correct the base URL in the issuer to {base}",
    )
