"""The README's installation on a real Debian with a real systemd, in a container.

`./run box` runs this; it needs root, debootstrap and systemd-nspawn.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import wait_for

TESTS = Path(__file__).parents[1]
CHECKOUT = TESTS.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "record-shim"
PACKAGES = "systemd,systemd-sysv,dbus,nginx,python3-venv,curl,iproute2"
HOST = "storage.example.com"
RECORD = "/300/2017-02-17-11-05-04_in_300_uhl4.mp3"
RECORDING = (TESTS / "recordings" / RECORD.rpartition("/")[2]).read_bytes()
SHIM = "/opt/record-shim/bin/record-shim"
KEY = "/etc/record-shim/key"


@dataclass
class Box:
    """A booted container; `leader` is its init's process id out here."""

    leader: int

    def enter(self, *command: str) -> list[str]:
        namespaces = ("-m", "-u", "-i", "-n", "-p", "-r", "-w")
        return ["nsenter", "-t", str(self.leader), *namespaces, *command]

    def run(self, script: str, check: bool = True) -> str:
        result = subprocess.run(
            self.enter("/bin/bash", "-euo", "pipefail", "-c", script),
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert not check or result.returncode == 0, (script, result.stderr)
        return result.stdout.strip()

    def link(self) -> str:
        return self.run(f"{SHIM} link --key-file {KEY} {RECORD}")

    def status(self, token: str) -> str:
        return self.run(
            f"curl -s -o /dev/null -w '%{{http_code}}' -H 'Host: {HOST}'"
            f" http://127.0.0.1/{token}"
        )

    def main_pid(self) -> str:
        return self.run("systemctl show -p MainPID --value record-shim")


def base(suite: str) -> Path:
    """Return a minimal Debian `suite`, made once."""
    root = CACHE / f"box-{suite}"
    if not root.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        unfinished = root.with_name(root.name + ".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        options = ["--variant=minbase", f"--include={PACKAGES}"]
        subprocess.run(
            ["debootstrap", *options, suite, unfinished],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        unfinished.rename(root)
    return root


def download_wheels(root: Path, wheels: Path) -> None:
    """Put the checkout's wheel and what it needs on the box's Python into `wheels`."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    source = wheels / "source"
    leave_out = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "tests")
    shutil.copytree(CHECKOUT, source, symlinks=True, ignore=leave_out)
    build = ["wheel", "--no-deps", "--no-build-isolation", "-w", wheels, source]
    subprocess.run([*pip, *build], check=True)
    shutil.rmtree(source)
    [python] = [
        x for x in (root / "usr/bin").iterdir() if re.fullmatch(r"python3\.\d+", x.name)
    ]
    [wheel] = wheels.glob("record_shim-*.whl")
    version = ["--python-version", python.name.removeprefix("python")]
    options = ["--only-binary=:all:", *version, "-d", wheels]
    subprocess.run([*pip, "download", *options, wheel], check=True)


def readme_install() -> str:
    """The README's installation, from a wheel without a network, under its own names."""
    readme = (CHECKOUT / "README.md").read_text("utf-8")
    section = readme.split("\n## Install it on a storage box\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section.split("\n5. ")[0], re.DOTALL)
    script = "\n".join(blocks)
    for written, here in {
        "apt-get install nginx python3-venv\n": "",
        "pip install .\n": "pip install -q --no-index --find-links /wheels record-shim\n",
    }.items():
        assert written in script.replace("   ", "")
        script = script.replace(written, here)
    return script


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def box(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Box]:
    root = base(request.param)
    wheels = tmp_path_factory.mktemp("wheels")
    download_wheels(root, wheels)
    records = tmp_path_factory.mktemp("records")
    records.chmod(0o755)
    shutil.copytree(TESTS / "recordings", records / "300")
    nspawn = subprocess.Popen(
        [
            *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot"),
            "--volatile=overlay",  # what the tests write is gone with the box
            "--private-network",
            f"--machine=box-{request.param}",
            f"--bind-ro={wheels}:/wheels",
            f"--bind-ro={records}:/srv/records",
            f"--directory={root}",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children")
        booted = Box(0)

        def is_up() -> bool:
            # read each time: the first child is one on the way to the box's init
            for pid in children.read_text().split():
                booted.leader = int(pid)
                state = booted.run("systemctl is-system-running", check=False)
                if state in ("running", "degraded"):
                    return True
            return False

        wait_for(is_up)
        booted.run(readme_install())
        yield booted
    finally:
        nspawn.terminate()
        nspawn.wait(timeout=60)


def test_a_link_opens_and_goes_on_opening_after_a_restart(box: Box) -> None:
    token = box.link()
    assert box.status(token) == "200"
    box.run("systemctl restart record-shim")
    assert box.status(token) == "200"
    box.run("systemctl stop record-shim.service")
    assert box.status(token) == "200", "the socket did not start the service"


def test_the_service_is_hardened(box: Box) -> None:
    text = box.run("systemd-analyze security --no-pager record-shim.service")
    level = re.search(r"exposure level for \S+: ([0-9.]+)", text)
    assert level
    assert float(level[1]) <= 0.5


def test_the_service_has_no_network_and_sees_no_record(box: Box) -> None:
    assert box.run("ls /srv/records") == "300"
    inside = f"nsenter -t {box.main_pid()} -m -n"
    assert "300" not in box.run(f"{inside} ls /srv/records 2>&1 || true")
    assert box.run(f"{inside} ip -brief link | wc -l") == "1"
    refused = box.run(f"{inside} curl -sS http://192.0.2.1/ 2>&1 || true")
    assert "connect" in refused


def test_a_bad_key_is_named_and_its_repair_needs_no_start(box: Box) -> None:
    token = box.link()
    box.run(f"cp -p {KEY} /root/key; echo secret > {KEY}")
    box.run("systemctl restart record-shim", check=False)
    journal = "journalctl --no-pager -u record-shim -b"
    # more starts than systemd's limit allows in its time, were there one
    wait_for(lambda: box.run(f"{journal} | grep -c 'line 1: not a key'") >= "6")
    assert "secret" not in box.run(journal)
    box.run(f"cp -p /root/key {KEY}")
    wait_for(lambda: box.status(token) == "200")


def test_keys_change_without_a_dead_link(box: Box) -> None:
    old = box.link()
    box.run(f"{SHIM} keygen --rotate {KEY}; systemctl restart record-shim")
    new = box.link()
    assert new != old
    assert [box.status(old), box.status(new)] == ["200", "200"]
    box.run(f"sed -i 2d {KEY}; systemctl restart record-shim")
    assert [box.status(old), box.status(new)] == ["404", "200"]


def test_nothing_is_lost_while_it_changes(box: Box) -> None:
    targets = ["/" + box.link(), "/" + box.link().rstrip("=") + "?x"]
    arguments = ["/run/stop", HOST, str(len(RECORDING))]
    arguments += [hashlib.sha256(RECORDING).hexdigest(), *targets]
    with subprocess.Popen(
        box.enter("/usr/bin/python3", "-", *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as load:
        assert load.stdin and load.stdout
        load.stdin.write((Path(__file__).with_name("load.py")).read_bytes())
        load.stdin.close()
        for _ in range(3):
            for change in (
                "systemctl restart record-shim",
                "systemctl kill --signal=KILL --kill-whom=main record-shim",
                "kill -KILL $(cut -d' ' -f1 /proc/{pid}/task/{pid}/children)",
                "systemctl reload nginx",
                f"{SHIM} keygen --rotate {KEY}; systemctl restart record-shim",
            ):
                wait_for(lambda: box.main_pid() != "0")
                box.run(change.format(pid=box.main_pid()))
                wait_for(lambda: box.status(targets[0][1:]) == "200")
        box.run("touch /run/stop")
        counts = json.loads(load.stdout.read())
    print(counts)
    assert counts["wrong"] == 0, counts
    assert counts["right"] > 1000


def test_no_log_of_the_box_holds_a_token(box: Box) -> None:
    token = box.link()
    assert box.status(token) == "200"
    assert box.status("A" * 24) == "404"
    wait_for(lambda: "refused" in box.run("journalctl --no-pager -u record-shim -n 5"))
    logs = box.run("cat /var/log/nginx/*; journalctl --no-pager --all -b")
    assert RECORD in logs
    assert token.rstrip("=") not in logs
