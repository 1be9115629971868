"""Fetch links over and over until a file appears; print the counts as JSON.

Runs on the box's own Python: load.py STOP_FILE REQUESTS HOST RECORDING TARGET…
It goes on until STOP_FILE is there and at least REQUESTS have been made.
"""

import http.client
import json
import multiprocessing
import os
import sys
import threading

PROCESSES, CONNECTIONS = 4, 4

stop, requests, host, recording, *targets = sys.argv[1:]
with open(recording, "rb") as file:
    expected = file.read()


def fault_of(connection: http.client.HTTPConnection, target: str) -> str:
    """Fetch `target`; return what is wrong with the answer, if anything is."""
    connection.request("GET", target, headers={"Host": host})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        return str(answer.status)
    return "" if body == expected else f"another body, {len(body)} bytes"


def fetch_until_stopped(counts: dict[str, int], faults: set[str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=60)
    quota = int(requests) // PROCESSES // CONNECTIONS + 1
    turn = 0
    while turn < quota or not os.path.exists(stop):
        turn += 1
        target = targets[turn % len(targets)]
        try:
            try:
                fault = fault_of(connection, target)
            except (http.client.RemoteDisconnected, ConnectionResetError):
                # between two requests a server may close; then a client asks again,
                # once, on a fresh connection (RFC 9110, section 9.2.2)
                if connection.sock is None and turn == 1:
                    raise
                connection.close()
                counts["again"] += 1
                fault = fault_of(connection, target)
        except (OSError, http.client.HTTPException) as error:
            fault = repr(error)
            connection.close()
        counts["wrong" if fault else "right"] += 1
        if fault:
            faults.add(fault)


def main(result: "multiprocessing.Queue[tuple[dict[str, int], set[str]]]") -> None:
    each = [({"right": 0, "wrong": 0, "again": 0}, set()) for _ in range(CONNECTIONS)]
    threads = [threading.Thread(target=fetch_until_stopped, args=x) for x in each]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for counts in each:
        result.put(counts)


context = multiprocessing.get_context("fork")
result: "multiprocessing.Queue[tuple[dict[str, int], set[str]]]" = context.Queue()
processes = [context.Process(target=main, args=(result,)) for _ in range(PROCESSES)]
for process in processes:
    process.start()
parts = [result.get() for _ in range(PROCESSES * CONNECTIONS)]
total: dict[str, object] = {
    name: sum(counts[name] for counts, _ in parts)
    for name in ("right", "wrong", "again")
}
print(json.dumps(total | {"faults": sorted(set().union(*(x for _, x in parts)))}))
