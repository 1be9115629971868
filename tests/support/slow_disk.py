"""A slow disk: a FUSE file system on which every read takes 50 ms.

As a program, it mounts one: `python -m support.slow_disk MOUNTPOINT`.
"""

import contextlib
import errno
import math
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple

from .checkout import CHECKOUT
from .links import ecb_target
from .stack import Stack, StackError
from .wrk import command

READ_SECONDS = 0.05
FILE_SIZE = 1_000_000
NAME = "slow"  # the mount point, below the records directory
SAMPLES = 200
PAUSE = 0.01  # between two samples
SAMPLING_SECONDS = 20  # after which fewer samples are enough
WHOLE_SECONDS = 10  # after which the whole record is not waited for any longer
START_SECONDS = 20

# so that no file is read twice: the kernel caches what was read
_unread = count()


class NotMounted(Exception):
    """Why there is no slow disk, in one line."""


@contextlib.contextmanager
def mounted(mountpoint: Path) -> Iterator[None]:
    """Mount the slow disk until the block ends. Raises NotMounted."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        raise NotMounted("needs a readable and writable /dev/fuse")
    mountpoint.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "support.slow_disk", mountpoint],
        env=os.environ | {"PYTHONPATH": str(CHECKOUT / "tests")},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not os.path.ismount(mountpoint):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                lines = process.communicate()[1].strip().splitlines()
                reason = lines[-1] if lines else "no error message"
                raise NotMounted(f"FUSE cannot be mounted here: {reason}")
            time.sleep(0.02)
        yield
    finally:
        # lazily: nginx may still be reading
        unmount = ["fusermount3", "-u", "-z", str(mountpoint)]
        subprocess.run(unmount, check=False, stderr=subprocess.DEVNULL)
        process.kill()
        process.communicate()


class Waited(NamedTuple):
    """How long a hot link takes."""

    first_byte_ms: float  # 99th percentile
    whole_ms: float  # of one record, at most WHOLE_SECONDS


def hot_link(stack: Stack, hot: str, cold_reads: int) -> Waited:
    """Time a hot link while `cold_reads` connections download records from the slow
    disk. Raises StackError when they do not."""
    lines = stack.root / "tmp" / "slow"
    paths = [f"/{NAME}/{next(_unread)}.wav" for _ in range(4_000)]
    lines.write_text("\n".join(map(ecb_target, paths)))
    _seconds(stack.port, hot)
    before = _reads(stack)
    load = subprocess.Popen(
        command(stack.port, lines, 600, cold_reads), stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        # the first records are being read
        while _reads(stack) - before < cold_reads:
            if load.poll() is not None or time.monotonic() > deadline:
                raise StackError("slow disk: the cold reads did not start")
            time.sleep(0.02)
        first_bytes: list[float] = []
        enough = time.monotonic() + SAMPLING_SECONDS
        while len(first_bytes) < SAMPLES and time.monotonic() < enough:
            first_bytes.append(_seconds(stack.port, hot))
            time.sleep(PAUSE)
        whole = _seconds(stack.port, hot, whole=True)
        if load.poll() is not None:
            raise StackError("slow disk: the cold reads ended early")
    finally:
        load.kill()
        load.wait()
    first_byte = sorted(first_bytes)[math.ceil(0.99 * len(first_bytes)) - 1]
    return Waited(first_byte * 1000, whole * 1000)


def _seconds(port: int, target: str, whole: bool = False) -> float:
    """Return the seconds to the first byte, or until the whole record has arrived."""
    start = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        request = f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        if connection.recv(12) != b"HTTP/1.1 200":
            raise StackError(f"port {port}: the hot link does not open")
        connection.settimeout(WHOLE_SECONDS)
        with contextlib.suppress(TimeoutError):
            while whole and connection.recv(65536):
                pass
        return time.perf_counter() - start


def _reads(stack: Stack) -> int:
    """Return how many reads the slow disk has been asked for."""
    # a new name each time, because the kernel caches what it knows of a file
    return os.stat(stack.records / NAME / f"reads-{time.monotonic_ns()}").st_size


def _serve(mountpoint: str) -> None:
    import mfusepy

    class SlowDisk(mfusepy.Operations):  # type: ignore[misc] # it has no types
        """Any file name that ends in .wav; the size of "reads-…" is the number of reads."""

        use_ns = True

        def __init__(self) -> None:
            self.reads = count(1)
            self.last = 0

        def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
            if path == "/":
                return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
            if path.startswith("/reads-"):
                return {"st_mode": stat.S_IFREG | 0o444, "st_size": self.last}
            if path.endswith(".wav"):
                return {"st_mode": stat.S_IFREG | 0o444, "st_size": FILE_SIZE}
            raise mfusepy.FuseOSError(errno.ENOENT)

        def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
            self.last = next(self.reads)
            time.sleep(READ_SECONDS)
            return bytes(min(size, FILE_SIZE - offset))

    # root mounts it, nginx's workers read it as another user
    options = {"allow_other": True} if os.getuid() == 0 else {}
    mfusepy.FUSE(
        SlowDisk(),
        mountpoint,
        foreground=True,
        ro=True,
        # enough that opening a file never waits for the reads of others
        max_threads=64,
        **options,
    )


if __name__ == "__main__":
    _serve(sys.argv[1])
