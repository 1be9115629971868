"""What keeps links from opening on this box, in the order in which a request meets it."""

import os
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import NamedTuple, TypeVar

from ..errors import Misconfigured, Refused
from ..tokens import ecb, jwe, opener, token_of
from ..tokens.claims import Claims, check_times
from ..tokens.keys import Keyrings
from ..tokens.settings import Settings
from . import interrupted, key_files, layout
from .bounded import SECONDS, unread, within
from .certificate_check import check_certificate
from .clock_check import check_clock, check_clock_against
from .nginx import nginx_config
from .nginx_config import (
    Directive,
    Site,
    cache_directory,
    find_site,
    rivals,
    worker_user,
)
from .preflight import require_box
from .record_checks import LEAST_BYTES, Record, check_download, find_record
from .restart import check_gunicorn
from .results import Finding, bad, bad_because, good, warning
from .service_checks import (
    check_current,
    check_key_file,
    check_socket,
    check_unit,
    load_box_settings,
    load_keys,
)
from .site_checks import (
    Door,
    cache_status,
    check_cache,
    check_logs,
    check_site,
    check_stopped,
    door_of,
    own_door,
)
from .systemd import is_active

_DOWNLOAD_SECONDS = 60

T = TypeVar("T")


class _Endpoint(NamedTuple):
    """What check knows of the endpoint after it has checked it."""

    keyrings: Keyrings | None
    settings: Settings | None
    runs: bool  # with its socket and nginx
    nginx_runs: bool


class _Subject(NamedTuple):
    """Which record is downloaded; without a path and a link, the newest."""

    path: str | None
    url: str | None
    may_be_empty: bool


def check_box(
    path: str | None = None, url: str | None = None, *, may_be_empty: bool = False
) -> Iterator[Finding]:
    """Yield a finding for each thing that links need, the last of them a real download.

    It downloads the record at `path`, as a token has it, or the one that the link `url`
    leads to; without either, the newest. A records directory without a record is a
    warning if it `may_be_empty`. Whatever does not answer is waited for at most a minute.
    Raises Misconfigured when this is not a box. A service that is not running gets no
    request, because that would start it.
    """
    require_box()
    yield from interrupted.findings()
    if not any(map(os.path.lexists, (layout.SITE, *layout.UNIT_FILES.values()))):
        raise Misconfigured(
            "record-shim is not installed",
            "run record-shim install --records DIR --server-name NAME",
        )
    endpoint = yield from _check_endpoint()
    clock = check_clock()
    yield clock
    if endpoint is None:
        return
    # nginx -T would repair it
    cache_before = cache_status()
    config, site, finding = _find_site()
    if config is None or site is None:
        yield finding
        return
    user = worker_user(config)
    door = yield from _check_way(config, site, url, endpoint.nginx_runs, finding)
    if directory := cache_directory(config):
        yield check_cache(directory, cache_before)
    if endpoint.runs:
        reached = partial(check_socket, site, user)
        yield _finding("socket", unread(f"socket {site.socket}"), reached)
    if endpoint.settings is None:
        return
    yield _check_prefix(site, endpoint.settings)
    if endpoint.keyrings is None:
        return
    subject = _Subject(path, url, may_be_empty)
    prefix = endpoint.settings.path_prefix
    record, finding = _find_record(site, user, prefix, endpoint.keyrings, subject)
    yield finding
    if record is None:
        return
    wrong_clock = check_clock_against(record.file, record.modified)
    if clock.ok and wrong_clock:
        yield wrong_clock
    if door is None or not endpoint.runs:
        return
    for kind, token in _tokens(record.path, url, endpoint.keyrings).items():
        late = _unanswered(f"download: {kind}", _DOWNLOAD_SECONDS)
        download = partial(check_download, door, kind, token, record, user)
        yield _finding("download", late, download, _DOWNLOAD_SECONDS)


def _check_endpoint() -> Generator[Finding, None, _Endpoint | None]:
    """Check keys, settings and units; return None when systemd does not answer."""
    keyrings, finding = _result("keys", unread("key files"), load_keys)
    yield finding
    for file in key_files.existing().values():
        yield _finding(
            "key-file", unread(f"key file {file}"), partial(check_key_file, file)
        )
    settings, finding = _result("settings", unread(layout.SETTINGS), load_box_settings)
    if settings and keyrings:
        try:
            check_gunicorn()
        except Misconfigured as error:
            finding = bad_because("settings", error)
    can_start = finding.ok
    yield finding
    runs = True
    try:
        for unit in (*layout.UNITS, layout.NGINX_UNIT):
            finding = check_unit(unit)
            runs = runs and finding.ok
            yield finding
        nginx_runs = finding.ok
        if can_start and is_active(layout.SERVICE_UNIT):
            yield _finding("service", unread(layout.SERVICE_UNIT), check_current)
    except Misconfigured as error:
        yield bad_because("unit", error)
        return None
    return _Endpoint(keyrings, settings, runs, nginx_runs)


def _check_way(
    config: Directive, site: Site, url: str | None, nginx_runs: bool, valid: Finding
) -> Generator[Finding, None, Door | None]:
    """Check what is between a client and the endpoint; `valid` says that the site is.

    Returns where links enter, None if a token must not or need not be sent there.
    """
    door, passable = own_door(site), nginx_runs
    if url is not None:
        try:
            door, finding = within(
                SECONDS, partial(door_of, url, site), _unanswered("--url: nginx")
            )
        except Misconfigured as error:
            finding = bad_because("link", error)
        if finding:
            yield finding
            passable = passable and finding.ok
    who = None
    if nginx_runs and valid.ok:
        answered = partial(check_site, config, site, door, valid)
        who, valid = _result("site", _unanswered("nginx"), answered)
    yield valid
    passable = passable and valid.ok
    if logged := check_logs(site):
        yield logged
    if who and valid.ok and door.listen.tls:
        verified = partial(check_certificate, site, door.listen, door.host)
        yield _finding("certificate", _unanswered("certificate: nginx"), verified)
    if stopped := check_stopped(who):
        yield stopped
        passable = False
    return door if passable else None


def _find_record(
    site: Site, user: str, path_prefix: str, keyrings: Keyrings, subject: _Subject
) -> tuple[Record | None, Finding]:
    path, url, may_be_empty = subject
    try:
        if url is not None:
            path = _path_of(url, keyrings)
        search = partial(find_record, site.records, user, path_prefix, path)
        late = unread(f"records directory {site.records!r}")
        record = within(SECONDS, search, late)
    except Refused as refused:
        option = "--path" if url is None else "--url"
        remedy = f"see {refused.reason.code} in docs/operations.md"
        return None, bad("record", f"{option}: {refused}", remedy)
    except Misconfigured as error:
        return None, bad_because("record", error)
    except OSError as error:
        return None, bad("record", f"{error.filename or user}: {error.strerror}")
    if record is None:
        problem = f"records directory {site.records!r}: no record in it"
        if may_be_empty:
            return None, warning(
                "record", f"{problem} yet", "run check when there is one"
            )
        return None, bad("record", problem, "check whether it is mounted")
    readable = f"record {record.file!r}: {user} can read it"
    if path is None and record.size < LEAST_BYTES:
        return record, warning(
            "record",
            f"{readable}, but it has only {record.size} bytes",
            f"check whether recordings are complete: none has {LEAST_BYTES} bytes",
        )
    return record, good("record", readable)


def _find_site() -> tuple[Directive | None, Site | None, Finding]:
    try:
        config, warnings = nginx_config()
    except Misconfigured as error:
        return None, None, bad_because("site", error)
    site = find_site(config)
    if site is None:
        problem = f"nginx: the site is missing, {layout.SITE} should contain it"
        return config, None, bad("site", problem, "run record-shim install")
    if f'conflicting server name "{site.server_name}"' in warnings:
        files = " and ".join(rivals(config, site)) or "nginx's configuration"
        return (
            config,
            site,
            bad(
                "site",
                f"nginx: another site has the name {site.server_name} on the same address",
                f"remove it from {files}",
            ),
        )
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
            "run record-shim install, or restore"
            f" SHIM_INTERNAL_PREFIX in {layout.SETTINGS}",
        )
    return good("prefix", f"internal prefix: {ours} in nginx and the endpoint")


def _path_of(url: str, keyrings: Keyrings) -> str:
    """Return the path in a link; raises Refused when it does not open."""
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


def _finding(
    name: str,
    late: Misconfigured,
    check: Callable[[], Finding],
    seconds: int = SECONDS,
) -> Finding:
    """Return what `check` finds within `seconds`, otherwise that it is `late`."""
    try:
        return within(seconds, check, late)
    except Misconfigured as error:
        return bad_because(name, error)


def _result(
    name: str, late: Misconfigured, check: Callable[[], tuple[T | None, Finding]]
) -> tuple[T | None, Finding]:
    """Return what `check` finds within SECONDS and its result."""
    try:
        return within(SECONDS, check, late)
    except Misconfigured as error:
        return None, bad_because(name, error)


def _unanswered(what: str, seconds: int = SECONDS) -> Misconfigured:
    return Misconfigured(
        f"{what}: no answer within {seconds} s",
        f"run systemctl restart {layout.NGINX_UNIT}; if that changes nothing, check the"
        " disk of the records",
    )
