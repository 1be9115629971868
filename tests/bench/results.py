"""What was measured, and the figures that have a target."""

import statistics
from dataclasses import dataclass, field
from typing import NamedTuple

from support.slow_disk import WHOLE_SECONDS, Waited

from . import peers, slow_clients
from .load import Timing
from .service import Service


class Figure(NamedTuple):
    what: str
    target: str
    measured: str


@dataclass
class Results:
    """One entry per round in every list."""

    workers: int  # of the endpoint, by default
    timings: dict[tuple[str, str], list[Timing]] = field(default_factory=dict)
    # by form and number of cold reads
    slow_disk: dict[tuple[str, int], list[Waited]] = field(default_factory=dict)
    no_slow_disk: str = ""  # why there is none
    beside_slow: list[tuple[float, float]] = field(default_factory=list)
    services: dict[int, list[Service]] = field(default_factory=dict)
    crowd: slow_clients.Crowd | None = None

    def median(self, name: str, size: str) -> Timing:
        columns = zip(*self.timings[name, size], strict=True)
        return Timing(*map(statistics.median, columns))

    def ratio(self, ours: str, theirs: str, size: str) -> float:
        pairs = zip(self.timings[ours, size], self.timings[theirs, size], strict=True)
        return statistics.median(a.rate / b.rate for a, b in pairs)


def figures(results: Results) -> list[Figure]:
    return [
        *_slow_disk(results),
        *_ratios(results),
        *_services(results),
        *_slow_clients(results),
    ]


def _slow_disk(results: Results) -> list[Figure]:
    rows = []
    for cold, target in ((8, "≤ 5 ms"), (100, "report")):
        for form in ("plain", "cached"):
            what = f"hot link beside {cold} cold reads, {form} form: first byte (99 %)"
            waited = results.slow_disk.get((form, cold))
            if not waited:
                measured = f"not measured: {results.no_slow_disk}"
                rows.append(Figure(what, target, measured))
                continue
            first = statistics.median(x.first_byte_ms for x in waited)
            whole = statistics.median(x.whole_ms for x in waited)
            rows.append(Figure(what, target, f"{first:,.1f} ms"))
            at_least = "≥ " if whole >= WHOLE_SECONDS * 1000 else ""
            measured = f"{at_least}{whole:,.1f} ms"
            rows.append(Figure("the same: the whole record", "report", measured))
    return rows


def _ratios(results: Results) -> list[Figure]:
    rows = [
        ("hot link, cached form, 19 kB, against AES in nginx's Lua module", "≥ 1.00 ×"),
        ("the same against the static file", "≥ 0.85 ×"),
        ("the same against the static file without a log", "report"),
        ("cold links, plain form, against an empty Flask view", "≥ 0.95 ×"),
        ("the same against an empty WSGI application", "≥ 0.68 ×"),
        ("cold links, plain form, this commit against 0.1.0", "≥ 1.20 ×"),
        ("cold JWE links against cold ECB links, plain form", "report"),
        ("10 MB, plain form, against the static file", "≥ 0.92 ×"),
    ]
    pairs = [
        (peers.CACHED_HOT, peers.LUA, "19 kB"),
        (peers.CACHED_HOT, peers.STATIC, "19 kB"),
        (peers.CACHED_HOT, peers.BARE, "19 kB"),
        (peers.PLAIN_COLD, peers.EMPTY_FLASK, "19 kB"),
        (peers.PLAIN_COLD, peers.EMPTY, "19 kB"),
        (peers.PLAIN_COLD, peers.OLDER, "19 kB"),
        (peers.PLAIN_COLD_JWE, peers.PLAIN_COLD, "19 kB"),
        (peers.PLAIN_HOT, peers.STATIC, "10 MB"),
    ]
    return [
        Figure(
            what,
            target,
            f"{results.ratio(ours, theirs, size):.2f} ×"
            if (theirs, size) in results.timings
            else "not measured: needs the git history",
        )
        for (what, target), (ours, theirs, size) in zip(rows, pairs, strict=True)
    ]


def _services(results: Results) -> list[Figure]:
    rows = []
    for workers, target in ((2, "≤ 60 MB"), (results.workers, "≤ 80 MB")):
        pss = statistics.median(x.pss_mb for x in results.services[workers])
        what = f"memory (PSS) of the endpoint, {workers} workers"
        rows.append(Figure(what, target, f"{pss:.0f} MB"))
    start = statistics.median(x.start_ms for x in results.services[results.workers])
    what = "start of the endpoint to its first answer"
    return [*rows, Figure(what, "report", f"{start:.0f} ms")]


def _slow_clients(results: Results) -> list[Figure]:
    ours, theirs = map(statistics.median, zip(*results.beside_slow, strict=True))
    ratio = f"{ours / theirs:.0f} ×" if theirs else f"{ours:.0f} per second against 0"
    number = results.workers
    what = (
        f"10 MB against Flask's `send_file`, beside {number} clients that do not read"
    )
    rows = [Figure(what, "report", ratio)]
    if results.crowd:
        total, crowd = f"{slow_clients.NUMBER:,}", results.crowd
        served = min(crowd["opened"], crowd["served"])
        first_byte = f"{crowd['busy_ms']} ms ({crowd['idle_ms']} ms when idle)"
        rows += [
            Figure("slow clients served at the same time", total, f"{served:,}"),
            Figure("first byte of another link beside them", "report", first_byte),
        ]
    return rows
