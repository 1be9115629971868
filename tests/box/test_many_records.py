"""Thousands of recordings on Debian's own nginx.conf, beside a flood of valid tokens."""

import json
import re
from collections.abc import Iterator

import pytest
from support.box import CHECKOUT, HOST, INSTALL, KEY, SHIM, Box
from support.waiting import wait_for

from shim.tokens import ecb

pytestmark = pytest.mark.usefixtures("alone")

RECORDINGS, RATE, SECONDS = 6_000, 300, 30
# without a limit, the flood would take all of the CPU that the load needs
FLOOD_RATE = 1_000
DIRECTORY = "/srv/records/many"
LIST, STOP = "/run/many", "/run/stop"
CACHE = "/run/record-shim-cache"
# what a keys zone of 1 MB holds
ENTRIES = 8_192


@pytest.fixture(params=["", " --cache"], ids=["plain", "cached"])
def box(request: pytest.FixtureRequest, machine: Box) -> Iterator[Box]:
    machine.run(f"{SHIM} uninstall --purge")
    machine.run(f"{INSTALL}{request.param}; rm -f {STOP}; mkdir -p {DIRECTORY}")
    # each with its own content
    machine.run(
        f"for n in $(seq {RECORDINGS}); do"
        f" for line in $(seq 500); do echo $n; done >{DIRECTORY}/$n.wav; done"
    )
    key = bytes.fromhex(machine.run(f"cat {KEY}"))
    links = (
        f"{DIRECTORY}/{n}.wav /{ecb.seal(f'/many/{n}.wav', (key,))}\n"
        for n in range(1, RECORDINGS + 1)
    )
    machine.write(LIST, "".join(links))
    yield machine
    machine.run(f"{SHIM} uninstall; rm -r {DIRECTORY} {LIST}")


def entries(box: Box) -> int:
    """Return how many opened tokens are in the cache."""
    return int(box.run(f"find {CACHE} -type f 2>/dev/null | wc -l || true"))


def test_thousands_of_recordings_beside_a_flood(box: Box) -> None:
    """A1: no link fails, with 1,024 descriptors and 768 connections per worker.
    A3: the cache stays small.
    """
    conf = box.run("cat /etc/nginx/nginx.conf; systemctl cat nginx")
    assert "worker_connections 768;" in conf
    assert "nofile" not in conf.lower()
    requests = str(RATE * SECONDS)
    peak = 0
    with (
        box.python("flood.py", STOP, str(FLOOD_RATE), HOST, box.link()) as flood,
        box.python("many.py", str(RATE), requests, HOST, LIST) as load,
    ):
        assert flood.stdout and load.stdout
        try:
            while load.poll() is None:
                peak = max(peak, entries(box))
        finally:
            box.run(f"touch {STOP}")
        counts = json.loads(load.stdout.read())
        flooded = json.loads(flood.stdout.read())
    print(counts, "flood:", flooded, "cache entries:", peak)
    assert counts["wrong"] == {}
    assert counts["right"] == RATE * SECONDS
    # nginx ends a kept connection after a thousand requests
    assert flooded["statuses"].keys() <= {"404", "again"}
    assert flooded["statuses"]["404"] > ENTRIES
    assert flooded["statuses"].get("again", 0) <= flooded["requests"] / 100
    assert counts["descriptors"] < 1024
    assert peak < ENTRIES
    wait_for(lambda: box.status(box.link()) == "200")


def test_how_many_downloads_a_box_holds(box: Box) -> None:
    """A7: the numbers of docs/operations.md, and the command that shows how close one is."""
    page = (CHECKOUT / "docs/operations.md").read_text("utf-8")
    section = page.split("\n## Many slow clients\n")[1].split("\n## ")[0]
    command = re.findall(r"```sh\n(ss .*)\n```", section)[0]
    plain, cached = map(int, re.findall(r"(\d+) downloads (?:at|of)", section))
    form = cached if box.ran(f"ls {CACHE}").returncode == 0 else plain
    workers = int(box.run("nproc"))
    # so that no download ends
    box.run(f"for n in $(seq {RECORDINGS}); do truncate -s 9M {DIRECTORY}/$n.wav; done")
    targets = [line.split()[1] for line in box.run(f"cat {LIST}").splitlines()]
    held = form * workers * 9 // 10
    arguments = (STOP, str(held), HOST, *targets[:held])
    with box.python("unread.py", *arguments) as clients:
        assert clients.stdout
        statuses = json.loads(clients.stdout.readline())
        try:
            print(held, statuses, box.run(command))
            assert statuses == {"200": held, "none": 0}
            assert int(box.run(command)) == held
        finally:
            box.run(f"touch {STOP}")
