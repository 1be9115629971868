"""forget, install and uninstall delete the cache of opened tokens, and nothing else."""

import re
from collections.abc import Iterator

import pytest
from support.box import INSTALL, KEY, SHIM, Box
from support.waiting import wait_for

CACHE = "/run/record-shim-cache"
AS_NGINX = "setpriv --reuid=www-data --regid=www-data --clear-groups --"
DEPTH = 1500
NESTED = (
    "import os\n"
    f"os.chdir('{CACHE}')\n"
    f"for _ in range({DEPTH}):\n"
    "    os.mkdir('nested')\n"
    "    os.chdir('nested')\n"
    "open('token', 'w').close()\n"
)
OWN = "/root/own"
FILES = 3000
# when the first file is deleted, the directory becomes a link to root's own
SWAP = f"""\
import os
os.chdir({CACHE!r})
os.mkdir("own")
for number in range(1, {FILES} + 1):
    open(f"own/{{number}}", "w").close()
open("ready", "w").close()
while len(os.listdir("own")) == {FILES}:
    pass
os.rename("own", "moved")
os.symlink({OWN!r}, "own")
"""


@pytest.fixture
def box(machine: Box) -> Iterator[Box]:
    """A box with the cached form, and a link in its cache."""
    machine.run(f"{SHIM} uninstall --purge; {INSTALL} --cache")
    assert machine.status(machine.link()) == "200"
    yield machine
    machine.run(
        f"rm -rf {CACHE} {OWN}; systemctl start nginx; {SHIM} uninstall --purge"
    )


@pytest.mark.parametrize("command", ["forget", "uninstall"])
def test_forget_deletes_nothing_outside_the_cache(box: Box, command: str) -> None:
    """A2: nginx's user cannot make root delete a file of root's."""
    box.run(f"mkdir -p -m 700 {OWN}; cd {OWN}; touch {{1..{FILES}}}")
    box.run(f"cat >/run/swap.py <<'END'\n{SWAP}END")
    for _ in range(3):
        box.run(
            f"rm -rf {CACHE}/*; systemd-run --quiet --collect --unit=swap --uid=www-data"
            " python3 /run/swap.py"
        )
        wait_for(lambda: box.ran(f"ls {CACHE}/ready").returncode == 0)
        # what is moved away meanwhile may be reported
        box.ran(f"{SHIM} {command}")
        assert box.run(f"ls {OWN} | wc -l") == str(FILES)
        box.run("systemctl stop swap 2>/dev/null || true")
        box.run(f"{INSTALL} --cache")
    # a link that was there before
    box.run(f"{AS_NGINX} ln -s {OWN} {CACHE}/link; {SHIM} {command}")
    assert box.run(f"ls {OWN} | wc -l") == str(FILES)


@pytest.mark.parametrize("command", ["forget", "uninstall", "install --no-cache"])
def test_deeply_nested_directories_are_deleted(box: Box, command: str) -> None:
    """A12: 1,500 directories below one another are no obstacle."""
    box.run(f'{AS_NGINX} python3 -c "{NESTED}"')
    box.run(f"{SHIM} {command}")
    assert box.run(f"find {CACHE} -type f || true") == ""
    assert box.run("systemctl is-active nginx") == "active"


def test_what_cannot_be_deleted_is_reported(box: Box) -> None:
    """A2: a file of root's in the cache stays, and forget says so."""
    box.run(f"mkdir {CACHE}/roots; touch {CACHE}/roots/file")
    message = box.fails(f"{SHIM} forget")
    assert f"{CACHE}: www-data cannot delete all of it: cannot delete" in message
    assert f"{CACHE}/roots/file" in message
    assert box.run(f"find {CACHE} -type f") == f"{CACHE}/roots/file"


def test_forget_does_not_start_nginx(box: Box) -> None:
    """B8: an nginx that was stopped stays stopped, and what it cached is forgotten."""
    token = box.link()
    box.run(f"{SHIM} keygen --rotate {KEY}; sed -i 2d {KEY}")
    box.run("systemctl restart record-shim; systemctl stop nginx")
    assert re.match(r"removed from the cache: [1-9]", box.run(f"{SHIM} forget"))
    assert box.ran("systemctl is-active nginx").stdout == "inactive\n"
    box.run("systemctl start nginx")
    assert box.status(token) == "404"


def test_closed_directories_block_no_install(box: Box) -> None:
    """A2: nginx's user cannot keep root from changing the form."""
    box.run(f"{SHIM} install --cache")
    closed = f"{CACHE}/z"
    for command in ("forget", "install --no-cache", "install --cache", "uninstall"):
        box.run(f"{AS_NGINX} sh -c 'mkdir -p {closed}/y && chmod 000 {closed}' || true")
        box.run(f"{SHIM} {command}")
    assert box.run(f"ls -d {CACHE} || true") == ""
