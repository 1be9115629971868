import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.checkout import CHECKOUT
from support.raw_http import get
from support.recordings import demo_recordings
from support.stack import free_port
from support.waiting import wait_for

pytestmark = pytest.mark.needs("nginx", "pgrep")

TESTS = CHECKOUT / "tests"


def start(
    port: int, tmp_path: Path, umask: int = -1, **environ: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "demo", "--port", str(port)],
        cwd=TESTS,
        env=os.environ | {"TMPDIR": str(tmp_path)} | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        umask=umask,
    )


@contextlib.contextmanager
def started(
    port: int, tmp_path: Path, umask: int = -1, **environ: str
) -> Iterator[subprocess.Popen[str]]:
    with start(port, tmp_path, umask, **environ) as demo:
        try:
            yield demo
        finally:
            # when the test has failed
            demo.terminate()


def output_of(demo: subprocess.Popen[str]) -> str:
    """Return what the demo prints until it serves the page."""
    output = ""
    for line in demo.stdout:
        output += line
        if "Ctrl-C" in line:
            return output
    raise AssertionError(output + demo.stderr.read())


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A unix socket's path may have 107 bytes; pytest's own directories are longer."""
    with tempfile.TemporaryDirectory(prefix="demo-") as path:
        Path(path).chmod(0o755)
        yield Path(path)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_links_that_open_and_leaves_nothing(
    short_tmp: Path, how: signal.Signals
) -> None:
    port = free_port()
    with started(port, short_tmp) as demo:
        output = output_of(demo)
        targets = re.findall(
            rf"^ +http://127\.0\.0\.1:{port}(/\S+)$", output, re.MULTILINE
        )
        page = get(port, "/").body.decode()
        jwe_answer = get(port, targets.pop())
        assert jwe_answer.body == next(iter(demo_recordings().values()))
        assert "max-age=" in (jwe_answer.header("Cache-Control") or "")
        for target, (path, content) in zip(
            targets, demo_recordings().items(), strict=True
        ):
            assert get(port, target).body == content
            assert get(port, target, Range="bytes=100-199").body == content[100:200]
            assert path in page
            assert f'src="{target}"' in page
        command = re.search(r"^  (\S.*/record-shim'? link .*)$", output, re.MULTILINE)[
            1
        ]
        exports = "\n".join(re.findall(r"^  (export .*)$", output, re.MULTILINE))
        made = subprocess.run(
            ["bash", "-c", f"{exports}\n{command}"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        link = made.removeprefix(f"http://127.0.0.1:{port}")
        assert get(port, link).body == jwe_answer.body
        demo.send_signal(how)
        assert demo.wait(timeout=60) == 0
        assert demo.stderr.read() == ""
    assert list(short_tmp.iterdir()) == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    left = subprocess.run(["pgrep", "-f", short_tmp.name], check=False)
    assert left.returncode == 1, "processes are left"


def test_the_jwe_link_of_the_page_is_renewed(short_tmp: Path) -> None:
    """Whoever opens the page, whenever that is, sees it count down from a minute."""
    port = free_port()
    with started(port, short_tmp) as demo:

        def expires() -> int:
            page = get(port, "/").body.decode()
            return int(re.search(r'data-expires="(\d+)"', page)[1])

        output_of(demo)
        first, start = expires(), time.monotonic()
        assert 60 <= first - time.time() <= 70
        wait_for(lambda: expires() > first)
        # every 10 s
        assert time.monotonic() - start < 15
        assert 60 <= expires() - time.time() <= 70
        demo.send_signal(signal.SIGINT)
        assert demo.wait(timeout=60) == 0


def test_a_strict_umask_and_a_proxy(short_tmp: Path) -> None:
    """nginx can read the files nevertheless, and no request goes to the proxy."""
    port = free_port()
    proxy = f"http://127.0.0.1:{free_port()}"
    with started(port, short_tmp, umask=0o077, http_proxy=proxy) as demo:
        output_of(demo)
        assert get(port, "/").status == 200
        demo.send_signal(signal.SIGINT)
        assert demo.wait(timeout=60) == 0


def assert_fails(demo: subprocess.Popen[str], message: str, tmp_path: Path) -> None:
    out, err = demo.communicate(timeout=60)
    assert (demo.returncode, out) == (1, "")
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use(short_tmp: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = f"demo: port {port} is already in use; choose another with --port\n"
        assert_fails(start(port, short_tmp), message, short_tmp)


@pytest.mark.parametrize("port", [0, 65536])
def test_an_invalid_port(short_tmp: Path, port: int) -> None:
    assert_fails(start(port, short_tmp), "65535", short_tmp)


def test_a_directory_that_nginx_cannot_name(short_tmp: Path) -> None:
    spaced = short_tmp / "a b"
    spaced.mkdir()
    assert_fails(start(free_port(), spaced), "a b", spaced)


def test_a_ctrl_c_before_it_has_started(short_tmp: Path) -> None:
    with started(free_port(), short_tmp) as demo:
        # its first directory: it is about to make the key
        wait_for(lambda: any(short_tmp.iterdir()))
        demo.send_signal(signal.SIGINT)
        assert demo.wait(timeout=60) == 0
        assert demo.stderr.read() == ""
    assert list(short_tmp.iterdir()) == []


def test_no_nginx(short_tmp: Path) -> None:
    demo = start(free_port(), short_tmp, PATH="/nonexistent")
    assert_fails(demo, "apt-get install nginx", short_tmp)
