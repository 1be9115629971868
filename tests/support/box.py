"""A storage box: a real Debian with a real systemd, booted in a container."""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import box_coverage
from .certificates import issue
from .checkout import CHECKOUT, PIP, build_wheel
from .recordings import MP3, RECORDINGS
from .waiting import wait_for

CLIENTS = Path(__file__).with_name("clients")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "record-shim"
PACKAGES = (
    "systemd,systemd-sysv,dbus,nginx,python3-venv,curl,iproute2,logrotate,openssl,"
    "ca-certificates,faketime,strace"
)
# debootstrap knows no virtual packages, and this one needs some
LATER_PACKAGES = "python3-certbot-nginx"
HOST = "storage.example.com"
RECORD = MP3
RECORDING = (RECORDINGS / RECORD.rpartition("/")[2]).read_bytes()
SHIM = "/opt/record-shim/bin/record-shim"
INSTALL = f"{SHIM} install --records /srv/records --server-name {HOST}"
DEFAULTS = "--listen 80 --no-cache --no-certificate"
KEY = "/etc/record-shim/key"
JWE_KEY = "/etc/record-shim/jwe-key"
SITE = "/etc/nginx/conf.d/record-shim.conf"
NGINX_D = "/etc/record-shim/nginx.d"
OTHER_VERSION = "99.0"


@dataclass
class Box:
    """A booted container; `leader` is its init's process id out here."""

    leader: int

    def enter(self, *command: str) -> list[str]:
        namespaces = ("-m", "-u", "-i", "-n", "-p", "-r", "-w")
        return ["nsenter", "-t", str(self.leader), *namespaces, *command]

    def ran(self, script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.enter("/bin/bash", "-euo", "pipefail", "-c", script),
            check=False,
            env=os.environ | box_coverage.environ(script),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    def run(self, script: str) -> str:
        result = self.ran(script)
        assert result.returncode == 0, (script, result.stdout, result.stderr)
        return result.stdout.strip()

    def write(self, path: str, text: str) -> None:
        command = self.enter("tee", path)
        subprocess.run(
            command, check=True, input=text.encode(), stdout=subprocess.DEVNULL
        )

    def fails(self, script: str) -> str:
        """Return the one line on stderr of a command that ends with status 1."""
        result = self.ran(script)
        assert result.returncode == 1, (script, result.stdout, result.stderr)
        assert result.stderr.count("\n") == 1, result.stderr
        return result.stderr

    def link(self, record: str = RECORD) -> str:
        return self.run(f"{SHIM} link {record}")

    def jwe_link(self, expires: str = "1h") -> str:
        return self.run(f"{SHIM} link --expires {expires} {RECORD}")

    def status(self, token: str, options: str = "") -> str:
        return self.run(
            f"curl -s -o /dev/null -w '%{{http_code}}' {options} -H 'Host: {HOST}'"
            f" http://127.0.0.1/{token} || true"
        )

    def trust(self, authority: str) -> None:
        """Let programs on the box accept certificates of `authority`, a PEM file there."""
        trusted = "/usr/local/share/ca-certificates/tests.crt"
        self.run(f"cp {authority} {trusted}; update-ca-certificates --fresh 2>&1")

    def put_certificate(self, directory: Path, host: str = HOST) -> str:
        """Put a new certificate and its authority in /root; return the options of install.

        Programs on the box accept certificates of this authority.
        """
        directory.mkdir(exist_ok=True)
        root = Path(f"/proc/{self.leader}/root/root")
        for file in issue(directory, host):
            (root / file.name).write_bytes(file.read_bytes())
        self.trust("/root/authority.pem")
        return "--certificate /root/certificate.pem --certificate-key /root/certificate.key"

    def main_pid(self) -> str:
        return self.run("systemctl show -p MainPID --value record-shim")

    def workers(self) -> str:
        pid = self.main_pid()
        return self.run(f"cat /proc/{pid}/task/{pid}/children")

    def etc(self) -> str:
        """Return all of /etc: names, kinds, rights, owners, link targets, contents."""
        return self.run(
            "cd /etc; find . -printf '%p %y %m %U:%G %l\\n' | sort;"
            " find . -type f -exec sha256sum {} + | sort"
        )

    @contextlib.contextmanager
    def python(self, script: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a Python script of clients/ on the box's own Python."""
        with subprocess.Popen(
            self.enter("/usr/bin/python3", "-", *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdin
            process.stdin.write((CLIENTS / script).read_bytes())
            process.stdin.close()
            yield process


def base(suite: str) -> Path:
    """Return a Debian `suite` with what a storage box has, made once."""
    root = CACHE / f"box-{suite}"
    recipe = root.with_suffix(".packages")
    packages = f"{PACKAGES} {LATER_PACKAGES}"
    CACHE.mkdir(parents=True, exist_ok=True)
    # another run may be making it
    with open(root.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not recipe.exists() or recipe.read_text() != packages:
            _make_base(suite, root)
            recipe.write_text(packages)
    return root


def _make_base(suite: str, root: Path) -> None:
    unfinished = root.with_name(root.name + ".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    options = ["--variant=minbase", f"--include={PACKAGES}"]
    apt = "DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends"
    later = f"apt-get -q update && {apt} install {LATER_PACKAGES}"
    for command in (
        ["debootstrap", *options, suite, str(unfinished)],
        ["chroot", str(unfinished), "sh", "-c", later],
    ):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(root, ignore_errors=True)
    unfinished.rename(root)


def make_wheels(root: Path, wheels: Path) -> None:
    """Build the checkout's wheel in `wheels` and, as another version, in `wheels/other`.

    Puts all that it needs on the Python of `root` beside it, and coverage.
    """
    wheel = build_wheel(wheels)
    (wheels / "other").mkdir()
    build_wheel(wheels / "other", OTHER_VERSION)
    [python] = [
        x for x in (root / "usr/bin").iterdir() if re.fullmatch(r"python3\.\d+", x.name)
    ]
    version = ["--python-version", python.name.removeprefix("python")]
    options = ["--only-binary=:all:", *version, "-d", str(wheels)]
    subprocess.run([*PIP, "download", *options, str(wheel), "coverage"], check=True)


@contextlib.contextmanager
def booted(suite: str, wheels: Path, coverage: Path) -> Iterator[Box]:
    """Boot a Debian `suite` with recordings in /srv/records and wheels in /wheels.

    Its commands leave coverage data in `coverage`.
    """
    root = base(suite)
    make_wheels(root, wheels)
    cgroup = own_cgroup(suite)
    nspawn = subprocess.Popen(
        [
            *("sh", "-c", 'echo $$ >"$0"/cgroup.procs && exec "$@"', cgroup),
            *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot"),
            "--volatile=overlay",  # what the tests write is gone with the box
            "--private-network",
            f"--machine=box-{suite}",
            f"--bind-ro={wheels}:/wheels",
            f"--bind-ro={RECORDINGS}:/recordings",
            f"--bind={coverage}:{box_coverage.DIRECTORY}",
            f"--directory={root}",
        ],
        # Debian's own default. In the older hierarchies, systemd in a container is not
        # always told that the last process of a service has ended.
        env=os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children")
        box = Box(0)

        def is_up() -> bool:
            # read each time: the first child is one on the way to the box's init
            for pid in children.read_text().split():
                box.leader = int(pid)
                state = box.ran("systemctl is-system-running").stdout.strip()
                if state in ("running", "degraded"):
                    return True
            return False

        wait_for(is_up)
        mount_records(box)
        yield box
    finally:
        nspawn.terminate()
        nspawn.wait(timeout=60)
        # a cgroup is removed after those below it
        for directory, _, _ in os.walk(cgroup, topdown=False):
            os.rmdir(directory)


def own_cgroup(suite: str) -> str:
    """Return a new cgroup: boxes in the same one take each other's processes for theirs."""
    mounts = [x.split() for x in Path("/proc/mounts").read_text().splitlines()]
    mount_point = next(x[1] for x in mounts if x[2] == "cgroup2")
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    ours = next(x.removeprefix("0::") for x in lines if x.startswith("0::"))
    return tempfile.mkdtemp(prefix=f"box-{suite}-", dir=mount_point + ours)


def mount_records(box: Box) -> None:
    box.run(
        "mkdir -p /srv/records; mount -t tmpfs -o mode=755 records /srv/records;"
        " cp -r /recordings /srv/records/300"
    )


def readme_commands() -> list[str]:
    """Return the README's two commands."""
    readme = (CHECKOUT / "README.md").read_text("utf-8")
    section = readme.split("\n## Install it on a storage box\n")[1].split("\n## ")[0]
    block: str = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)[0]
    return block.replace("\\\n", "").splitlines()
