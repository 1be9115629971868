"""What could keep links from opening on this box, looked for in the order of their way."""

import contextlib
import hashlib
import http.client
import itertools
import os
import pwd
import socket
import time
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple
from urllib.parse import urlsplit

from ..errors import Misconfigured, Refused
from ..tokens import PASTED, ecb, jwe, reader, token_of
from ..tokens.claims import Claims, check_times
from ..tokens.keys import CREDENTIALS, NO_CREDENTIAL, Keyrings, load_keyrings
from ..tokens.paths import (
    check_path,
    parse_internal_prefix,
    parse_path_prefix,
    record_name,
)
from . import system as box
from .nginx_config import Directive, Site, find_site, worker_user
from .templates import UNITS


class Finding(NamedTuple):
    """One line of the report; where `ok` is false, `text` says what to do."""

    ok: bool
    text: str


def check_box(path: str | None = None, url: str | None = None) -> Iterator[Finding]:
    """Yield a finding for each thing that links need, and at last for a real download.

    It fetches the record at `path`, as a token carries it, or the one that the link
    `url` leads to; without either, a small one. Raises Misconfigured when this is no
    box to check. A service that does not run is not asked: asking would start it.
    """
    box.require()
    keyrings: list[Keyrings] = []
    nginx: list[tuple[Directive, Site]] = []
    yield _finding(_keys_are_sound, keyrings)
    for file in box.key_files().values():
        yield _finding(_key_is_private, file)
    running = True
    for name in (*UNITS, "nginx.service"):
        finding = _finding(_unit_is_up, name)
        running = running and finding.ok
        yield finding
    if box.state(box.SERVICE_UNIT) == "active":
        yield _finding(_service_is_current)
    yield _finding(_nginx_has_the_site, nginx)
    if not nginx:
        return
    config, site = nginx[0]
    user = worker_user(config)
    if running:
        yield _finding(_socket_is_reachable, site, user)
    yield _finding(_prefix_is_the_same, site)
    if not keyrings:
        return
    records: list[tuple[str, str]] = []
    yield _finding(_record_is_readable, site, user, keyrings[0], path, url, records)
    if running and records:
        for kind, token in _tokens(records[0][0], url, keyrings[0]).items():
            yield _finding(_record_is_served, site, kind, token, records[0][1])


def _finding(check: Callable[..., str], *args: object) -> Finding:
    """Return what `check` returns as good, what it raises as bad."""
    try:
        return Finding(True, check(*args))
    except (Misconfigured, Refused) as error:
        return Finding(False, str(error))
    except OSError as error:
        return Finding(False, f"{error.filename}: {error.strerror}")


def _keys_are_sound(keyrings: list[Keyrings]) -> str:
    files = box.key_files()
    if not files:
        raise Misconfigured(
            f"no key: neither {' nor '.join(box.KEY_FILES.values())} is there; make one"
            " with record-shim keygen --output"
        )
    loaded = load_keyrings(files)
    keyrings.append(loaded)
    return str(loaded)


def _key_is_private(file: str) -> str:
    status = os.stat(file)
    if status.st_uid != 0 or (status.st_gid != 0 and status.st_mode & 0o070):
        raise Misconfigured(
            f"key file {file}: others than root may read it; run"
            f" chown root:root {file}; chmod 0600 {file}"
        )
    return f"key file {file}: private"


def _unit_is_up(name: str) -> str:
    state = box.state(name)
    if state != "active":
        raise Misconfigured(
            f"{name}: {state}; run systemctl start {name};"
            f" journalctl -u {name} -n 20 says why it stopped"
        )
    if box.state(name, "UnitFileState") != "enabled":
        raise Misconfigured(
            f"{name}: active, but not after a reboot; run systemctl enable {name}"
        )
    return f"{name}: active, enabled"


def _service_is_current() -> str:
    """The service reads keys and settings when it starts, and not again."""
    process = f"/proc/{box.state(box.SERVICE_UNIT, 'MainPID')}"
    remedy = "run systemctl restart record-shim"
    try:
        used_keys = [
            _content(f"{process}/root/run/credentials/{box.SERVICE_UNIT}/{name}")
            for name in CREDENTIALS.values()
        ]
        keys = [_content(file) for file in box.KEY_FILES.values()]
        with open(f"{process}/environ", encoding="utf-8") as file:
            variables = [x.partition("=") for x in file.read().split("\0")]
    except OSError as error:
        raise Misconfigured(
            f"{box.SERVICE_UNIT}: {error.filename}: {error.strerror}; {remedy}"
        ) from None
    if used_keys != keys:
        raise Misconfigured(
            f"{box.SERVICE_UNIT}: started with another key file than there is; {remedy}"
        )
    used = {name: value for name, _, value in variables if name.startswith("SHIM_")}
    if used != box.settings():
        raise Misconfigured(
            f"{box.SERVICE_UNIT}: started with other settings than {box.SETTINGS}"
            f" holds; {remedy}"
        )
    return f"{box.SERVICE_UNIT}: runs with the keys and the settings that are there"


def _content(file: str) -> bytes:
    try:
        with open(file, "rb") as opened:
            return opened.read()
    except FileNotFoundError:
        return NO_CREDENTIAL


def _nginx_has_the_site(nginx: list[tuple[Directive, Site]]) -> str:
    config, _ = box.nginx_config()
    site = find_site(config)
    if site is None:
        raise Misconfigured(
            f"nginx: the site is missing; {box.SITE} should hold it: run"
            " record-shim install"
        )
    nginx.append((config, site))
    return (
        f"nginx: configuration valid, site {site.server_name}, records {site.records}"
    )


def _socket_is_reachable(site: Site, user: str) -> str:
    try:
        with _acting_as(user), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(site.socket)
    except OSError as error:
        raise Misconfigured(
            f"socket {site.socket}: {user} cannot connect: {error.strerror}; run"
            f" ls -l on it: its group must be one of {user}'s"
        ) from None
    return f"socket {site.socket}: {user} can connect"


def _prefix_is_the_same(site: Site) -> str:
    prefix = parse_internal_prefix(box.settings().get("SHIM_INTERNAL_PREFIX", ""))
    if prefix != site.internal_prefix:
        raise Misconfigured(
            f"internal prefix: nginx has {site.internal_prefix}, the endpoint {prefix};"
            f" set SHIM_INTERNAL_PREFIX in {box.SETTINGS} and run record-shim install"
        )
    return f"internal prefix: {prefix} for nginx and the endpoint"


def _record_is_readable(
    site: Site,
    user: str,
    keyrings: Keyrings,
    path: str | None,
    url: str | None,
    records: list[tuple[str, str]],
) -> str:
    prefix = parse_path_prefix(box.settings().get("SHIM_PATH_PREFIX", ""))
    if url is not None:
        path = _opened(url, site, keyrings)
    elif path is not None:
        check_path(os.fsencode(path))
    if path is None:
        record = _small_record(site.records)
        path = f"{prefix.rstrip('/')}/{record}"
    else:
        record = record_name(path, prefix)
    name = f"{site.records}/{record}"
    with _acting_as(user):
        walked = ""
        for segment in name.split("/")[1:-1]:
            walked += f"/{segment}"
            if not os.path.isdir(walked):
                raise Misconfigured(
                    f"directory {walked!r} is not there; is it mounted?"
                )
            if not os.access(walked, os.X_OK, effective_ids=True):
                raise Misconfigured(
                    f"directory {walked!r}: {user} cannot enter it; run chmod o+x on"
                    f" it, or give {user} its group"
                )
        try:
            with open(name, "rb"):
                pass
        except OSError as error:
            raise Misconfigured(
                f"record {name!r}: {user} cannot read it: {error.strerror}; run ls -l"
                f" on it, then chmod o+r, or give {user} its group"
            ) from None
    records.append((path, name))
    return f"record {name!r}: {user} can read it"


def _opened(url: str, site: Site, keyrings: Keyrings) -> str:
    try:
        parts = urlsplit(url.strip(PASTED))
        host = parts.hostname
    except ValueError:
        raise Misconfigured("--url: not a URL") from None
    if host and parts.path.count("/") != 1:
        raise Misconfigured(
            "--url: the site serves https://HOST/TOKEN; this link has more slashes: a"
            " directory in its base URL, or base64 in place of base64url"
        )
    if host and site.server_name not in ("_", host):
        raise Misconfigured(
            f"--url: it asks for {host}, but the site is {site.server_name}"
        )
    claims = reader(keyrings)(token_of(url))
    check_times(claims, time.time())
    return claims.path


def _tokens(path: str, url: str | None, keyrings: Keyrings) -> dict[str, str]:
    """Return the tokens to try, by what to call their links."""
    if url is not None:
        return {"link": token_of(url)}
    tokens = {}
    if keyrings.api:
        tokens["link"] = ecb.seal(path, keyrings.api)
    if keyrings.jwe:
        tokens["sealed link"] = jwe.seal(
            Claims(path, exp=time.time() + 60), keyrings.jwe
        )
    return tokens


def _small_record(records: str) -> str:
    """Return the smallest of the first records found, as a name below `records`."""
    found = itertools.islice(_records(records), 100)
    smallest = min(found, default=None)
    if smallest is None:
        raise Misconfigured(
            f"records directory {records!r}: no record in it; is it mounted?"
        )
    return smallest[1]


def _records(records: str) -> Iterator[tuple[int, str]]:
    for directory, below, names in os.walk(records):
        below[:] = [x for x in below if not x.startswith(".")]
        for name in names:
            with contextlib.suppress(OSError, Refused):
                full = os.path.join(directory, name)
                record = os.path.relpath(full, records)
                check_path(os.fsencode(record))
                yield os.stat(full).st_size, record


def _record_is_served(site: Site, kind: str, token: str, name: str) -> str:
    try:
        with box.asked(site, f"/{token}") as answer:
            status = answer.status
            served = _digest(answer) if status == 200 else None
        with open(name, "rb") as file:
            there = _digest(file)
    except (OSError, http.client.HTTPException) as error:
        raise Misconfigured(
            f"round trip: nginx at {site.address} port {site.port}: {error};"
            " journalctl -u nginx -n 20 says more"
        ) from None
    if served is None:
        raise Misconfigured(
            f"round trip: the {kind} to {name!r} gets {status}; journalctl -u record-shim"
            " -n 5 says whether the endpoint refused it"
        )
    if served != there:
        raise Misconfigured(
            f"round trip: the {kind} to {name!r} brings {served[0]} bytes that are not"
            f" the {there[0]} of the file; does it change, or is another directory"
            " meant?"
        )
    return f"round trip: a {kind} brings {name!r}, {served[0]} bytes, same SHA-256"


def _digest(file: IO[bytes] | http.client.HTTPResponse) -> tuple[int, str]:
    size, digest = 0, hashlib.sha256()
    while block := file.read(1 << 16):
        size += len(block)
        digest.update(block)
    return size, digest.hexdigest()


@contextlib.contextmanager
def _acting_as(user: str) -> Iterator[None]:
    """Do as root what is within as `user`, with all groups that it has."""
    entry = pwd.getpwnam(user)
    groups = os.getgroups()
    os.setgroups(os.getgrouplist(user, entry.pw_gid))
    os.setegid(entry.pw_gid)
    os.seteuid(entry.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
