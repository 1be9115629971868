"""What keeps links from opening on this box, in the order in which a request meets it."""

import time
from urllib.parse import urlsplit

from ..errors import Misconfigured, Refused
from ..tokens import PASTED, ecb, jwe, opener, token_of
from ..tokens.claims import Claims, check_times
from ..tokens.keys import Keyrings
from ..tokens.settings import load_settings
from . import layout
from .nginx import nginx_config
from .nginx_config import Directive, Site, find_site, worker_user
from .preflight import require_box
from .record_checks import Record, check_download, find_record
from .results import Finding, bad, good
from .service_checks import (
    check_current,
    check_key_file,
    check_socket,
    check_unit,
    load_keys,
)
from .settings import key_files, read_settings
from .systemd import is_active


def check_box(path: str | None = None, url: str | None = None) -> list[Finding]:
    """Return a finding for each thing that links need, the last of them a real download.

    It downloads the record at `path`, as a token has it, or the one that the link `url`
    leads to; without either, a small one. Raises Misconfigured when this is not a box. A
    service that is not running gets no request, because that would start it.
    """
    require_box()
    keyrings, finding = load_keys()
    findings = [finding]
    findings += [check_key_file(file) for file in key_files().values()]
    units = [check_unit(name) for name in (*layout.UNITS, layout.NGINX_UNIT)]
    findings += units
    if is_active(layout.SERVICE_UNIT):
        findings.append(check_current())
    running = all(unit.ok for unit in units)
    config, site, finding = _find_site()
    findings.append(finding)
    if config is None or site is None:
        return findings
    user = worker_user(config)
    if running:
        findings.append(check_socket(site, user))
    findings.append(_check_prefix(site))
    if keyrings is None:
        return findings
    record, finding = _find_record(site, user, keyrings, path, url)
    findings.append(finding)
    if running and record:
        for kind, token in _tokens(record.path, url, keyrings).items():
            findings.append(check_download(site, kind, token, record.file))
    return findings


def _find_site() -> tuple[Directive | None, Site | None, Finding]:
    try:
        config, _ = nginx_config()
    except Misconfigured as error:
        return None, None, bad("site", error)
    site = find_site(config)
    if site is None:
        missing = Misconfigured(
            f"nginx: the site is missing, {layout.SITE} should contain it",
            "run record-shim install",
        )
        return config, None, bad("site", missing)
    found = (
        f"nginx: configuration valid, site {site.server_name}, records {site.records}"
    )
    return config, site, good("site", found)


def _check_prefix(site: Site) -> Finding:
    try:
        prefix = load_settings(read_settings()).internal_prefix
        if prefix != site.internal_prefix:
            raise Misconfigured(
                f"internal prefix: {site.internal_prefix} in nginx, {prefix} in the"
                " endpoint",
                f"set SHIM_INTERNAL_PREFIX in {layout.SETTINGS} and run record-shim"
                " install",
            )
    except Misconfigured as error:
        return bad("prefix", error)
    return good("prefix", f"internal prefix: {prefix} in nginx and the endpoint")


def _find_record(
    site: Site, user: str, keyrings: Keyrings, path: str | None, url: str | None
) -> tuple[Record | None, Finding]:
    try:
        if url is not None:
            path = _path_of(url, site, keyrings)
        record = find_record(site.records, user, path)
    except Refused as refused:
        option = "--path" if url is None else "--url"
        return None, bad("record", Misconfigured(f"{option}: {refused}"))
    except Misconfigured as error:
        return None, bad("record", error)
    return record, good("record", f"record {record.file!r}: {user} can read it")


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
