"""`./run bench [ROUNDS]`. Five rounds or more, the default, are written to docs/."""

import contextlib
import secrets
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from support import slow_disk
from support.checkout import CHECKOUT
from support.links import TEST_JWE_KEY, TEST_KEY, ecb_target
from support.stack import Stack, StackError, free_port, running

from shim import gunicorn_conf

from . import peers, service, slow_clients
from .load import timed
from .older import checkout
from .plot import plot
from .report import report
from .results import Results

ROUNDS = 5
SECONDS, SECONDS_OF_A_TRIAL = 3, 1  # per server and size; with fewer rounds
HOT, BIG = ecb_target(peers.PATHS["19 kB"]), ecb_target(peers.PATHS["10 MB"])
DOCS = CHECKOUT / "docs"


def main() -> None:
    # like Ctrl-C, so that everything that was started is stopped
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    seconds = SECONDS if rounds >= ROUNDS else SECONDS_OF_A_TRIAL
    contents = {size: secrets.token_bytes(n) for size, n in peers.SIZES.items()}
    files = {peers.PATHS[size]: content for size, content in contents.items()}
    try:
        with (
            stacks(files) as (plain, cached, older),
            peers.started(plain, cached, older) as started,
        ):
            for peer in started:
                peers.check(peer, contents)
            results = Results(gunicorn_conf.workers)
            for number in range(rounds):
                progress(f"round {number + 1} of {rounds}")
                # in turns, so that no server always follows the same other one
                order = started[:: 1 if number % 2 == 0 else -1]
                time_peers(order, plain.root / "tmp", seconds, results)
                time_slow_disk({"plain": plain, "cached": cached}, results)
                time_beside_slow(plain, started, seconds, results)
            results.crowd = slow_clients.crowd(files, BIG, HOT)
            # last, because it restarts the endpoint
            for _ in range(rounds):
                for workers in {2, results.workers}:
                    measured = service.restarted(plain, workers)
                    results.services.setdefault(workers, []).append(measured)
    except StackError as error:
        sys.exit(f"bench: {error}")
    text = report(results, started, rounds, seconds)
    print(text)
    if rounds >= ROUNDS:
        (DOCS / "bench.md").write_text(text, "utf-8")
        plot(results, DOCS / "bench.svg")


@contextlib.contextmanager
def stacks(
    files: dict[str, bytes],
) -> Iterator[tuple[Stack, Stack, Stack | None]]:
    """Run record-shim in the plain form, in the cached form, and as of 0.1.0."""
    keys = {"key": TEST_KEY, "jwe_key": TEST_JWE_KEY}
    with contextlib.ExitStack() as closing:

        def run(cache_time: str | None = None, **settings: str) -> Stack:
            stack = running(
                files,
                free_port(),
                **keys,
                settings=settings,
                cache_time=cache_time,
                reuseport=True,
            )
            entered = closing.enter_context(stack)
            peers.add_cold_records(entered)
            return entered

        old_files = closing.enter_context(checkout())
        older = run(PYTHONPATH=str(old_files)) if old_files else None
        yield run(), run(cache_time="10m"), older


def time_peers(
    order: list[peers.Peer], scratch: Path, seconds: float, results: Results
) -> None:
    for size in peers.SIZES:
        for peer in order:
            if size not in peer.targets:
                continue
            progress(f"  {size}: {peer.name}")
            for file in peer.cache.rglob("*") if peer.cache else ():
                if file.is_file():
                    file.unlink()
            timing = timed(
                peer.port,
                peer.targets[size],
                scratch,
                seconds,
                peer.nginx,
                peer.python,
            )
            results.timings.setdefault((peer.name, size), []).append(timing)


def time_slow_disk(forms: dict[str, Stack], results: Results) -> None:
    try:
        for form, stack in forms.items():
            for cold_reads in (8, 100):
                progress(f"  slow disk: {form} form beside {cold_reads} cold reads")
                # mounted anew, so that reads of the one before do not queue there
                with slow_disk.mounted(stack.records / slow_disk.NAME):
                    waited = slow_disk.hot_link(stack, HOT, cold_reads)
                results.slow_disk.setdefault((form, cold_reads), []).append(waited)
    except slow_disk.NotMounted as reason:
        results.no_slow_disk = str(reason)


def time_beside_slow(
    plain: Stack, started: list[peers.Peer], seconds: float, results: Results
) -> None:
    [send_file] = [peer for peer in started if peer.name == peers.SEND_FILE]
    ours, theirs = (
        slow_clients.rate_beside(
            results.workers, port, BIG, plain.root / "tmp", seconds
        )
        for port in (plain.port, send_file.port)
    )
    results.beside_slow.append((ours, theirs))


def progress(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    main()
