"""Fetch links over and over until a file appears; print the counts as JSON.

Runs on the box's own Python: load.py STOP_FILE HOST SIZE SHA256 TARGET…
"""

import hashlib
import http.client
import json
import os
import sys
import threading

stop, host, size, sha256, *targets = sys.argv[1:]
counts = {"right": 0, "wrong": 0}
faults: set[str] = set()
lock = threading.Lock()


def fetch_until_stopped() -> None:
    connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=60)
    turn = 0
    while not os.path.exists(stop):
        turn += 1
        fault = ""
        try:
            connection.request(
                "GET", targets[turn % len(targets)], headers={"Host": host}
            )
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                fault = str(answer.status)
            elif len(body) != int(size) or hashlib.sha256(body).hexdigest() != sha256:
                fault = "another body"
        except http.client.RemoteDisconnected:
            # between two requests a server may close (RFC 9112, section 9.6)
            connection.close()
            continue
        except (OSError, http.client.HTTPException) as error:
            fault = repr(error)
            connection.close()
        with lock:
            counts["wrong" if fault else "right"] += 1
            if fault:
                faults.add(fault)


threads = [threading.Thread(target=fetch_until_stopped) for _ in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps(counts | {"faults": sorted(faults)}))
