"""record-shim keygen."""

import os
import re
import stat
import subprocess
from pathlib import Path

from support.command import Result, Run, assert_one_line
from support.links import TEST_KEY
from support.recordings import VECTORS
from support.stack import BIN

GOOD = VECTORS["opens"][0]


def test_keygen_prints_a_new_key(run: Run) -> None:
    keys = {run("keygen")[1] for _ in range(2)}
    assert len(keys) == 2
    assert all(re.fullmatch(r"[0-9a-f]{64}\n", key) for key in keys)


def test_keygen_writes_a_private_file_once(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "key"
    old_mask = os.umask(0)
    try:
        assert run("keygen", "--output", str(path)) == (0, "", "")
    finally:
        os.umask(old_mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = path.read_text()
    assert_one_line(run("keygen", "--output", str(path)), "File exists")
    assert path.read_text() == key
    assert run("link", "--key-file", str(path), "/a.mp3")[0] == 0


def test_rotation_puts_a_new_key_first_and_keeps_the_old(
    run: Run, key_file: Path
) -> None:
    key_file.chmod(0o640)
    key = ("--key-file", str(key_file))
    old = run("link", GOOD["path"], *key)[1].strip()
    assert run("keygen", "--rotate", str(key_file)) == (0, "", "")
    new = run("link", GOOD["path"], *key)[1].strip()
    assert new != old
    for token in (old, new):
        assert run("open", token, *key) == (0, GOOD["path"] + "\n", "")
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o640
    lines = key_file.read_text().splitlines()
    assert lines[1] == TEST_KEY
    key_file.write_text(lines[0])
    assert run("open", new, *key)[0] == 0
    assert_one_line(run("open", old, *key), "another key")


def test_rotation_keeps_a_raw_key_and_a_link_to_the_file(
    run: Run, tmp_path: Path
) -> None:
    raw = tmp_path / "raw"
    raw.touch(0o600)
    raw.write_bytes(bytes.fromhex(TEST_KEY))
    link = tmp_path / "link"
    link.symlink_to(raw)
    assert run("keygen", "--rotate", str(link)) == (0, "", "")
    assert link.is_symlink()
    assert raw.read_text().splitlines()[1] == TEST_KEY
    assert sorted(tmp_path.iterdir()) == [link, raw]


def on_a_full_disk(*args: str | Path) -> subprocess.CompletedProcess[str]:
    """Run record-shim with a limit on file sizes that makes every write fail."""
    script = "trap '' XFSZ; ulimit -f 0; \"$@\""
    return subprocess.run(
        ["bash", "-c", script, "bash", BIN / "record-shim", *args],
        check=False,
        capture_output=True,
        text=True,
    )


def test_a_rotation_that_fails_changes_nothing(run: Run, key_file: Path) -> None:
    before = key_file.read_text()
    in_the_way = key_file.with_name("key.record-shim-new")
    in_the_way.touch()
    assert_one_line(run("keygen", "--rotate", str(key_file)), in_the_way.name)
    assert key_file.read_text() == before
    in_the_way.unlink()
    full = on_a_full_disk("keygen", "--rotate", key_file)
    assert_one_line(
        Result(full.returncode, full.stdout, full.stderr), "the file is unchanged"
    )
    assert key_file.read_text() == before
    assert list(key_file.parent.iterdir()) == [key_file]
    key_file.write_text("no key\n")
    assert_one_line(run("keygen", "--rotate", str(key_file)), "line 1")
    assert key_file.read_text() == "no key\n"
    assert run("keygen", "--rotate=a", "--output=b")[0] == 2


def test_a_full_disk_leaves_no_empty_key_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    result = on_a_full_disk("keygen", "--output", path)
    assert_one_line(Result(result.returncode, result.stdout, result.stderr), str(path))
    assert not path.exists()
