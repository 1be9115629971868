"""Pebble, an ACME server for tests, on a box."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .box import HOST, Box
from .certificates import issue
from .waiting import wait_for

DIRECTORY = "/root/pebble"
DIRECTORY_URL = "https://localhost:14000/dir"
_CONFIG = {
    "pebble": {
        "listenAddress": "127.0.0.1:14000",
        "managementListenAddress": "127.0.0.1:15000",
        "certificate": f"{DIRECTORY}/certificate.pem",
        "privateKey": f"{DIRECTORY}/certificate.key",
        "httpPort": 80,
        "tlsPort": 443,
    }
}


@dataclass
class Authority:
    """A running Pebble, which issues certificates for HOST to those who answer on its port 80."""

    box: Box
    root: str = f"{DIRECTORY}/root.pem"

    def certbot(self, command: str) -> str:
        """Run a certbot command of the documentation against this authority."""
        options = "--non-interactive --agree-tos -m admin@example.com"
        return self.box.run(
            f"export REQUESTS_CA_BUNDLE={DIRECTORY}/authority.pem;"
            f" {command.rstrip()} {options} --server {DIRECTORY_URL} 2>&1"
        )


@contextlib.contextmanager
def authority(box: Box, tmp_path: Path) -> Iterator[Authority]:
    pebble = shutil.which("pebble")
    assert pebble
    inside = Path(f"/proc/{box.leader}/root")
    directory = inside / DIRECTORY.lstrip("/")
    directory.mkdir(exist_ok=True)
    shutil.copy(pebble, directory)
    own = issue(tmp_path, "localhost")
    for file in own:
        shutil.copy(file, directory)
    (directory / "config.json").write_text(json.dumps(_CONFIG))
    box.run(
        # the box has none, nor a name server
        f"echo 127.0.0.1 localhost {HOST} >/etc/hosts;"
        " systemd-run -q --unit=pebble --setenv=PEBBLE_VA_NOSLEEP=1"
        f" {DIRECTORY}/pebble -config {DIRECTORY}/config.json"
    )
    try:
        root = f"curl -fsS --cacert {DIRECTORY}/authority.pem https://localhost:15000"
        found = Authority(box)
        wait_for(
            lambda: box.ran(f"{root}/roots/0 >{found.root}").returncode == 0,
        )
        box.trust(found.root)
        yield found
    finally:
        box.run(f"systemctl stop pebble; rm -r {DIRECTORY} /etc/hosts")
