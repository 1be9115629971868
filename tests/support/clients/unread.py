"""Start downloads and do not read them; print how often each status came, as JSON.

Runs on the box's own Python: unread.py STOP_FILE CONNECTIONS HOST TARGET…
It holds the connections until STOP_FILE is there.
"""

import collections
import json
import os
import select
import socket
import sys
import time

SECONDS = 5  # after which an answer is not waited for any longer

stop, connections, host, *targets = sys.argv[1:]
clients = []
for number in range(int(connections)):
    client = socket.socket()
    # otherwise the kernel would buffer the whole recording
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    client.connect(("127.0.0.1", 80))
    target = targets[number % len(targets)]
    client.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    clients.append(client)
    time.sleep(0.002)

statuses = collections.Counter()
deadline = time.monotonic() + SECONDS
waiting = select.poll()
for client in clients:
    waiting.register(client, select.POLLIN)
by_number = {client.fileno(): client for client in clients}
while by_number and time.monotonic() < deadline:
    for number, _ in waiting.poll(1000):
        try:
            statuses[by_number[number].recv(12)[9:].decode()] += 1
        except OSError:
            statuses["reset"] += 1
        waiting.unregister(number)
        del by_number[number]
statuses["none"] += len(by_number)
print(json.dumps(statuses), flush=True)
while not os.path.exists(stop):
    time.sleep(0.1)
