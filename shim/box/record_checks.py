"""Checks of a record: that nginx's user can read it, and that a link downloads it."""

import contextlib
import http.client
import os
import stat
import time
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from ..errors import Misconfigured, Refused
from ..tokens.paths import check_path, record_name
from .layout import NGINX_D
from .nginx import asked
from .results import Finding, bad_because, good
from .site_checks import Door
from .users import acting_as

# a shorter record may be the beginning of a call, or of a failed copy
LEAST_BYTES = 1000
# what is looked at to find the newest record, and how long
_ENTRIES, _SEARCH_SECONDS = 20_000, 5.0
# a record that changed just now is perhaps still being written
_SETTLED_SECONDS = 60
# how much of a record is downloaded, and how long
_DOWNLOAD_BYTES, _DOWNLOAD_SECONDS = 16 << 20, 20.0

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Record(NamedTuple):
    """A record: its path as a token has it, its file, and the file's size and time."""

    path: str
    file: str
    size: int
    modified: float


class _Candidate(NamedTuple):
    """A record that may prove that links work; the best one is the greatest."""

    is_file: bool  # not a symbolic link
    size: int  # up to LEAST_BYTES
    is_settled: bool
    modified: float
    name: str  # below the records directory


def find_record(
    records: str, user: str, path_prefix: str, path: str | None
) -> Record | None:
    """Return the record at `path`, or the newest, if `user` can read it.

    Returns None when there is no record at all. Raises Misconfigured when `user` cannot
    read it, and Refused when `path` may not be served.
    """
    if path is None:
        name = _newest_record(records)
        if name is None:
            return None
        path = f"{path_prefix.rstrip('/')}/{name}"
    else:
        check_path(os.fsencode(path))
        name = record_name(path, path_prefix)
    file = f"{records}/{name}"
    with acting_as(user), _opened(file, user) as opened:
        status = os.fstat(opened.fileno())
    return Record(path, file, status.st_size, status.st_mtime)


def check_download(
    door: Door, kind: str, token: str, record: Record, user: str
) -> Finding:
    """Check that the link with `token` downloads `record`, or at least its beginning."""
    try:
        return good("download", _download(door, kind, token, record, user))
    except Misconfigured as error:
        return bad_because("download", error)


def _download(door: Door, kind: str, token: str, record: Record, user: str) -> str:
    what = f"the {kind} to {record.file!r}"
    try:
        with acting_as(user):
            opened = _opened(record.file, user)
        with opened as file, asked(door.listen, door.host, f"/{token}") as answer:
            if answer.status != 200:
                raise Misconfigured(
                    f"download: {what} returns {answer.status}",
                    "run journalctl -u record-shim -n 5 to see whether the endpoint"
                    f" refused it; if not, look for deny and return in {NGINX_D}",
                )
            length = answer.length or 0
            served, ended = _compared(answer, file)
    except (OSError, http.client.HTTPException) as error:
        where = f"{door.listen.address} port {door.listen.port}"
        raise Misconfigured(
            f"download: nginx at {where}: {error}", "run journalctl -u nginx -n 20"
        ) from None
    if served is None or length < record.size:
        raise Misconfigured(
            f"download: {what} returns {length} bytes that differ from the file's"
            f" {record.size}",
            "check whether the file is changing, and whether nginx serves this directory",
        )
    if ended and served < length:
        raise Misconfigured(
            f"download: {what} ends after {served} of {length} bytes",
            "run tail /var/log/nginx/error.log",
        )
    size = f"{served} bytes" if ended else f"the first {served} of {length} bytes"
    return f"download: {kind} to {record.file!r}, {size}, identical to the file"


def _compared(
    answer: http.client.HTTPResponse, file: BinaryIO
) -> tuple[int | None, bool]:
    """Return how many bytes of `answer` are those of `file`, and whether it has ended.

    The number is None if some differ.
    """
    served, deadline = 0, time.monotonic() + _DOWNLOAD_SECONDS
    while served < _DOWNLOAD_BYTES and time.monotonic() < deadline:
        block = answer.read1(min(1 << 16, _DOWNLOAD_BYTES - served))
        if not block:
            return served, True
        if block != file.read(len(block)):
            return None, False
        served += len(block)
    return served, served == answer.length


def _opened(file: str, user: str) -> BinaryIO:
    """Open a record, as the caller's user, who is `user`; raises Misconfigured."""
    walked = ""
    for segment in file.split("/")[1:-1]:
        walked += f"/{segment}"
        if not os.path.isdir(walked):
            raise Misconfigured(
                f"directory {walked!r} does not exist",
                "check whether it is mounted; --path starts below the records directory",
            )
        if not os.access(walked, os.X_OK, effective_ids=True):
            raise Misconfigured(
                f"directory {walked!r}: {user} cannot enter it",
                f"run chmod o+x on it, or add {user} to its group",
            )
    try:
        # not opened before it is known what it is: opening a device can do something
        _require_file(os.stat(file), file)
        # O_NONBLOCK: should it have become a FIFO since
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        opened = open(descriptor, "rb")  # noqa: SIM115 # the caller closes it
        _require_file(os.fstat(descriptor), file)
    except FileNotFoundError:
        raise Misconfigured(
            f"record {file!r} does not exist",
            "check the path, and whether the recording was deleted or moved",
        ) from None
    except OSError as error:
        raise Misconfigured(
            f"record {file!r}: {user} cannot read it: {error.strerror}",
            f"run ls -l on it, then chmod o+r, or add {user} to its group",
        ) from None
    return opened


def _require_file(status: os.stat_result, file: str) -> None:
    kind = _KINDS.get(stat.S_IFMT(status.st_mode))
    if kind is None:
        return
    link = os.path.islink(file)
    leads = f"is a link to {kind}: {os.path.realpath(file)}" if link else f"is {kind}"
    raise Misconfigured(f"{file!r} {leads}", "name a record, which is a regular file")


def _newest_record(records: str) -> str | None:
    """Return the best record to download, as a name below `records`, if there is one."""
    best = max(_candidates(records), default=None)
    return best.name if best else None


def _candidates(records: str) -> Iterator[_Candidate]:
    """Yield the records that are found within _ENTRIES and _SEARCH_SECONDS.

    Of the directories in one, the one that changed last comes first.
    """
    looked_at, deadline, now = 0, time.monotonic() + _SEARCH_SECONDS, time.time()
    directories = [records]
    while directories:
        below = []
        with contextlib.suppress(OSError), os.scandir(directories.pop()) as entries:
            for entry in entries:
                looked_at += 1
                if looked_at > _ENTRIES or time.monotonic() > deadline:
                    return
                with contextlib.suppress(OSError, Refused):
                    name = entry.path[len(records) + 1 :]
                    check_path(os.fsencode(name))
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode):
                        below.append((status.st_mtime, entry.path))
                        continue
                    is_file = stat.S_ISREG(status.st_mode)
                    status = status if is_file else entry.stat()
                    if stat.S_ISREG(status.st_mode):
                        age = now - status.st_mtime
                        size = min(status.st_size, LEAST_BYTES)
                        is_settled = not 0 <= age < _SETTLED_SECONDS
                        yield _Candidate(
                            is_file, size, is_settled, status.st_mtime, name
                        )
        directories += [path for _, path in sorted(below)]
