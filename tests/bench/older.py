"""Release 0.1.0, taken from the git history, to compare this commit with."""

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from support.checkout import CHECKOUT

VERSION, COMMIT = "0.1.0", "ae2783d"


@contextlib.contextmanager
def checkout() -> Iterator[Path | None]:
    """Give the release's files until the block ends, or None without a git history."""
    with tempfile.TemporaryDirectory(prefix="record-shim-old-") as directory:
        archive = Path(directory) / "archive.tar"
        command = ["git", "-C", str(CHECKOUT), "archive", f"--output={archive}", COMMIT]
        try:
            done = subprocess.run(command, check=False, capture_output=True)
        except FileNotFoundError:
            done = None
        if done is None or done.returncode:
            yield None
            return
        files = Path(directory) / "checkout"
        files.mkdir()
        subprocess.run(["tar", "-xf", archive, "-C", files], check=True)
        # gunicorn's workers import it as another user
        Path(directory).chmod(0o755)
        yield files
