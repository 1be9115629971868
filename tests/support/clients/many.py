"""Fetch many recordings at a steady rate; print counts and what nginx has open, as JSON.

Runs on the box's own Python: many.py RATE REQUESTS HOST LIST
Each line of the file LIST has a recording and the target of its link. They are fetched in
turn; after twice the time that this should take, it gives up. Every second process closes
the connection after each request, as curl does; the others keep it open, as browsers do.
"""

import collections
import glob
import http.client
import json
import multiprocessing
import os
import sys
import time

PROCESSES = 6
TIMEOUT = 10

rate, requests = map(int, sys.argv[1:3])
host, list_file = sys.argv[3:]
with open(list_file, encoding="utf-8") as file:
    pairs = [line.split() for line in file]


def fault_of(connection, target, recording):
    """Fetch `target`; return what is wrong with the answer, if anything is."""
    connection.request("GET", target, headers={"Host": host})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        return str(answer.status)
    with open(recording, "rb") as file:
        return "" if body == file.read() else f"another body, {len(body)} bytes"


def fetch(number, start, result):
    close = number % 2 == 0
    counts = collections.Counter()
    connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=TIMEOUT)
    for turn in range(number, requests, PROCESSES):
        time.sleep(max(0, start + turn / rate - time.monotonic()))
        if time.monotonic() > start + 2 * requests / rate:
            break
        recording, target = pairs[turn % len(pairs)]
        used = connection.sock is not None
        try:
            try:
                fault = fault_of(connection, target, recording)
            except (http.client.RemoteDisconnected, ConnectionResetError):
                # a server may close a connection between two requests; then a client
                # asks again on a new one (RFC 9110, section 9.2.2)
                connection.close()
                if not used:
                    raise
                fault = fault_of(connection, target, recording)
        except (OSError, http.client.HTTPException) as error:
            fault = repr(error)
            connection.close()
        counts[fault or "right"] += 1
        if close:
            connection.close()
    result.put((counts, time.monotonic()))


def descriptors():
    """Return how many descriptors each nginx worker has open."""
    for name in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(name, "rb") as file:
                if file.read().startswith(b"nginx: worker process\0"):
                    yield len(os.listdir(os.path.dirname(name) + "/fd"))
        except OSError:
            # the process has ended
            pass


context = multiprocessing.get_context("fork")
result = context.Queue()
start = time.monotonic() + 0.5
for number in range(PROCESSES):
    context.Process(target=fetch, args=(number, start, result)).start()
parts, peak = [], 0
while len(parts) < PROCESSES:
    peak = max([peak, *descriptors()])
    while not result.empty():
        parts.append(result.get())
    time.sleep(0.1)
total = sum((counts for counts, _ in parts), collections.Counter())
right = total.pop("right", 0)
done = right + total.total()
seconds = max(end for _, end in parts) - start
print(
    json.dumps(
        {
            "requests": done,
            "right": right,
            "wrong": total,
            "rate": round(done / seconds, 1),
            "descriptors": peak,
        }
    )
)
