import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from support.raw_http import get
from support.recordings import demo_recordings
from support.stack import free_port
from support.waiting import wait_for

pytestmark = pytest.mark.needs("nginx", "pgrep")

DEMO = Path(__file__).with_name("demo.py")


def start(port: int, tmp_path: Path, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, DEMO, "--port", str(port)],
        env=os.environ | {"TMPDIR": str(tmp_path)} | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def short_tmp() -> Path:
    """A unix socket's path may have 107 bytes; pytest's own directories are longer."""
    with tempfile.TemporaryDirectory(prefix="demo-") as path:
        Path(path).chmod(0o755)
        yield Path(path)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_links_that_open_and_leaves_nothing(
    short_tmp: Path, how: signal.Signals
) -> None:
    port = free_port()
    with start(port, short_tmp) as demo:
        output = ""
        for line in demo.stdout:
            output += line
            if "Ctrl-C" in line:
                break
        targets = re.findall(
            rf"^ +http://127\.0\.0\.1:{port}(/\S+)$", output, re.MULTILINE
        )
        page = get(port, "/").body.decode()
        sealed = get(port, targets.pop())
        assert sealed.body == next(iter(demo_recordings().values()))
        assert "max-age=" in (sealed.header("Cache-Control") or "")
        for target, (path, content) in zip(
            targets, demo_recordings().items(), strict=True
        ):
            assert get(port, target).body == content
            assert get(port, target, Range="bytes=100-199").body == content[100:200]
            assert path in page
            assert f'src="http://127.0.0.1:{port}{target}"' in page
        demo.send_signal(how)
        assert demo.wait(timeout=60) == 0
        assert demo.stderr.read() == ""
    assert list(short_tmp.iterdir()) == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    left = subprocess.run(["pgrep", "-f", short_tmp.name], check=False)
    assert left.returncode == 1, "processes are left"


def assert_fails(demo: subprocess.Popen[str], message: str, tmp_path: Path) -> None:
    out, err = demo.communicate(timeout=60)
    assert (demo.returncode, out) == (1, "")
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use(short_tmp: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert_fails(start(port, short_tmp), "--port", short_tmp)


@pytest.mark.parametrize("port", [0, 65536])
def test_a_port_that_is_none(short_tmp: Path, port: int) -> None:
    assert_fails(start(port, short_tmp), "65535", short_tmp)


def test_a_directory_that_nginx_cannot_name(short_tmp: Path) -> None:
    spaced = short_tmp / "a b"
    spaced.mkdir()
    assert_fails(start(free_port(), spaced), "a b", spaced)


def test_a_ctrl_c_before_it_has_started(short_tmp: Path) -> None:
    with start(free_port(), short_tmp) as demo:
        # its first directory: it is about to make the key
        wait_for(lambda: any(short_tmp.iterdir()))
        demo.send_signal(signal.SIGINT)
        assert demo.wait(timeout=60) == 0
        assert demo.stderr.read() == ""
    assert list(short_tmp.iterdir()) == []


def test_no_nginx(short_tmp: Path) -> None:
    demo = start(free_port(), short_tmp, PATH="/nonexistent")
    assert_fails(demo, "apt-get install nginx", short_tmp)


def test_run_says_what_it_cannot_install(tmp_path: Path) -> None:
    """Neither root nor sudo: `./run` names the packages and changes nothing."""
    for tool in ("bash", "dirname", "python3"):
        (tmp_path / tool).symlink_to(f"/usr/bin/{tool}")
    for tool, text in {"id": "echo 1000", "apt-get": "exit 1"}.items():
        (tmp_path / tool).write_text(f"#!/usr/bin/bash\n{text}\n")
        (tmp_path / tool).chmod(0o755)
    script = (DEMO.parents[1] / "run").read_text()
    copy = tmp_path / "run"
    copy.write_text(script.replace(":/usr/sbin:/sbin", ""))
    result = subprocess.run(
        ["/usr/bin/bash", copy, "demo"],
        env={"PATH": str(tmp_path)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.endswith("nginx\n")
    assert "apt-get install" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / ".venv").exists()
