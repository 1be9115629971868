"""What keeps links from opening on this box, in the order in which a request meets it."""

import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from ..errors import Misconfigured, Refused
from ..tokens import PASTED, ecb, jwe, opener, token_of
from ..tokens.claims import Claims, check_times
from ..tokens.keys import Keyrings
from ..tokens.settings import Settings
from . import interrupted, key_files, layout
from .nginx import nginx_config
from .nginx_config import Directive, Site, find_site, worker_user
from .preflight import require_box
from .record_checks import check_download, find_record
from .results import Finding, bad, bad_because, good
from .service_checks import (
    check_current,
    check_key_file,
    check_socket,
    check_unit,
    load_box_settings,
    load_keys,
)
from .systemd import is_active


def check_box(path: str | None = None, url: str | None = None) -> Iterator[Finding]:
    """Yield a finding for each thing that links need, the last of them a real download.

    It downloads the record at `path`, as a token has it, or the one that the link `url`
    leads to; without either, a small one. Raises Misconfigured when this is not a box. A
    service that is not running gets no request, because that would start it.
    """
    require_box()
    yield from interrupted.findings()
    keyrings, finding = load_keys()
    yield finding
    for file in key_files.existing().values():
        yield check_key_file(file)
    settings, finding = load_box_settings()
    yield finding
    running = True
    for unit in (*layout.UNITS, layout.NGINX_UNIT):
        finding = check_unit(unit)
        running = running and finding.ok
        yield finding
    if is_active(layout.SERVICE_UNIT):
        yield check_current()
    config, site, finding = _find_site()
    yield finding
    if config is None or site is None:
        return
    user = worker_user(config)
    if running:
        yield check_socket(site, user)
    if settings is None:
        return
    yield _check_prefix(site, settings)
    if keyrings is not None:
        prefix = settings.path_prefix
        yield from _check_downloads(site, user, prefix, keyrings, running, path, url)


def _check_downloads(
    site: Site,
    user: str,
    path_prefix: str,
    keyrings: Keyrings,
    running: bool,
    path: str | None,
    url: str | None,
) -> Iterator[Finding]:
    try:
        if url is not None:
            path = _path_of(url, site, keyrings)
        record = find_record(site.records, user, path_prefix, path)
        tokens = _tokens(record.path, url, keyrings)
    except Refused as refused:
        option = "--path" if url is None else "--url"
        remedy = f"see {refused.reason.code} in docs/operations.md"
        yield bad("record", f"{option}: {refused}", remedy)
        return
    except Misconfigured as error:
        yield bad_because("record", error)
        return
    except OSError as error:
        yield bad("record", f"{error.filename or user}: {error.strerror}")
        return
    yield good("record", f"record {record.file!r}: {user} can read it")
    if running:
        for kind, token in tokens.items():
            yield check_download(site, kind, token, record.file)


def _find_site() -> tuple[Directive | None, Site | None, Finding]:
    try:
        config, _ = nginx_config()
    except Misconfigured as error:
        return None, None, bad_because("site", error)
    site = find_site(config)
    if site is None:
        problem = f"nginx: the site is missing, {layout.SITE} should contain it"
        return config, None, bad("site", problem, "run record-shim install")
    found = (
        f"nginx: configuration valid, site {site.server_name}, records {site.records}"
    )
    return config, site, good("site", found)


def _check_prefix(site: Site, settings: Settings) -> Finding:
    ours, theirs = settings.internal_prefix, site.internal_prefix
    if ours != theirs:
        return bad(
            "prefix",
            f"internal prefix: {theirs} in nginx, {ours} in the endpoint",
            "run record-shim install with its usual options, or restore"
            f" SHIM_INTERNAL_PREFIX in {layout.SETTINGS}",
        )
    return good("prefix", f"internal prefix: {ours} in nginx and the endpoint")


def _path_of(url: str, site: Site, keyrings: Keyrings) -> str:
    """Return the path in a link; raises Misconfigured or Refused when it cannot work."""
    try:
        parts = urlsplit(url.strip(PASTED))
        host = parts.hostname
    except ValueError:
        raise Misconfigured("--url: not a URL") from None
    if host and parts.path.count("/") != 1:
        raise Misconfigured(
            "--url: this link has more than one slash after the host name, but the site"
            " serves https://HOST/TOKEN",
            "look for a directory in the base URL, or for base64 instead of base64url",
        )
    if host and site.server_name not in ("_", host):
        raise Misconfigured(
            f"--url: this link leads to {host}, but the site is {site.server_name}"
        )
    claims = opener(keyrings)(token_of(url))
    check_times(claims, time.time())
    return claims.path


def _tokens(path: str, url: str | None, keyrings: Keyrings) -> dict[str, str]:
    """Return the tokens to try, by what to call their links."""
    if url is not None:
        return {"link": token_of(url)}
    tokens = {}
    if keyrings.ecb:
        tokens["ECB link"] = ecb.seal(path, keyrings.ecb)
    if keyrings.jwe:
        tokens["JWE link"] = jwe.seal(Claims(path, exp=time.time() + 60), keyrings.jwe)
    return tokens
