"""Checks of a record: that nginx's user can read it, and that a link downloads it."""

import contextlib
import hashlib
import http.client
import itertools
import os
from collections.abc import Iterator
from typing import IO, NamedTuple

from ..errors import Misconfigured, Refused
from ..tokens.paths import check_path, record_name
from .nginx import asked
from .nginx_config import Site
from .results import Finding, bad_because, good
from .users import acting_as

# directories below one another in which a small record is looked for
_DEPTH = 30


class Record(NamedTuple):
    """A record: its path as a token has it, and its file."""

    path: str
    file: str


def find_record(records: str, user: str, path_prefix: str, path: str | None) -> Record:
    """Return the record at `path`, or a small one, if `user` can read it.

    Raises Misconfigured when `user` cannot, and Refused when `path` may not be served.
    """
    if path is None:
        name = _small_record(records)
        path = f"{path_prefix.rstrip('/')}/{name}"
    else:
        check_path(os.fsencode(path))
        name = record_name(path, path_prefix)
    record = Record(path, f"{records}/{name}")
    with acting_as(user):
        _check_readable(record.file, user)
    return record


def check_download(site: Site, kind: str, token: str, file: str) -> Finding:
    """Check that the link with `token` downloads the record that is in `file`."""
    try:
        return good("download", _download(site, kind, token, file))
    except Misconfigured as error:
        return bad_because("download", error)


def _download(site: Site, kind: str, token: str, file: str) -> str:
    try:
        with asked(site, f"/{token}") as answer:
            status = answer.status
            served = _digest(answer) if status == 200 else None
        with open(file, "rb") as opened:
            stored = _digest(opened)
    except (OSError, http.client.HTTPException) as error:
        raise Misconfigured(
            f"download: nginx at {site.address} port {site.port}: {error}",
            "run journalctl -u nginx -n 20",
        ) from None
    if served is None:
        raise Misconfigured(
            f"download: the {kind} to {file!r} returns {status}",
            "run journalctl -u record-shim -n 5 to see whether the endpoint refused it",
        )
    if served != stored:
        raise Misconfigured(
            f"download: the {kind} to {file!r} returns {served[0]} bytes that differ from"
            f" the file's {stored[0]}",
            "check whether the file is changing, and whether nginx serves this directory",
        )
    return f"download: {kind} to {file!r}, {served[0]} bytes, same SHA-256"


def _check_readable(file: str, user: str) -> None:
    walked = ""
    for segment in file.split("/")[1:-1]:
        walked += f"/{segment}"
        if not os.path.isdir(walked):
            raise Misconfigured(
                f"directory {walked!r} does not exist", "check whether it is mounted"
            )
        if not os.access(walked, os.X_OK, effective_ids=True):
            raise Misconfigured(
                f"directory {walked!r}: {user} cannot enter it",
                f"run chmod o+x on it, or add {user} to its group",
            )
    try:
        with open(file, "rb"):
            pass
    except FileNotFoundError:
        raise Misconfigured(
            f"record {file!r} does not exist",
            "check the path, and whether the recording was deleted or moved",
        ) from None
    except IsADirectoryError:
        raise Misconfigured(f"{file!r} is a directory", "name a record") from None
    except OSError as error:
        raise Misconfigured(
            f"record {file!r}: {user} cannot read it: {error.strerror}",
            f"run ls -l on it, then chmod o+r, or add {user} to its group",
        ) from None


def _small_record(records: str) -> str:
    """Return the smallest of the first records found, as a name below `records`."""
    found = itertools.islice(_records(records), 100)
    smallest = min(found, default=None)
    if smallest is None:
        raise Misconfigured(
            f"records directory {records!r}: no record in it",
            "check whether it is mounted",
        )
    return smallest[1]


def _records(records: str) -> Iterator[tuple[int, str]]:
    for directory, below, names in os.walk(records):
        deep = os.path.relpath(directory, records).count("/") > _DEPTH
        below[:] = [] if deep else [x for x in below if not x.startswith(".")]
        for name in names:
            with contextlib.suppress(OSError, Refused):
                full = os.path.join(directory, name)
                record = os.path.relpath(full, records)
                check_path(os.fsencode(record))
                yield os.stat(full).st_size, record


def _digest(file: IO[bytes] | http.client.HTTPResponse) -> tuple[int, str]:
    size, digest = 0, hashlib.sha256()
    while block := file.read(1 << 16):
        size += len(block)
        digest.update(block)
    return size, digest.hexdigest()
