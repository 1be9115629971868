"""Read one link slowly over many connections, and time the first byte of another.

Runs on any Python, such as a box's own: slow.py CONNECTIONS RATE HOST:PORT SLOW_TARGET TARGET
RATE is in bytes a second for each connection. Prints JSON: the median time to the first
byte in milliseconds before and during, how many connections got a 200, and how many were
still being served at the end.
"""

import json
import multiprocessing
import resource
import socket
import statistics
import sys
import time

connections, rate = map(int, sys.argv[1:3])
authority, slow_target, target = sys.argv[3:]
host, _, port = authority.rpartition(":")
address = ("127.0.0.1", int(port))
resource.setrlimit(resource.RLIMIT_NOFILE, (connections + 100, connections + 100))


def request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()


def first_byte_ms() -> float:
    def once() -> float:
        start = time.perf_counter()
        with socket.create_connection(address, timeout=60) as connection:
            connection.sendall(request(target))
            assert connection.recv(12) == b"HTTP/1.1 200"
            return time.perf_counter() - start

    return statistics.median(once() for _ in range(200)) * 1000


def measure(result: "multiprocessing.Queue[float]") -> None:
    result.put(first_byte_ms())


idle = first_byte_ms()
clients: list[tuple[socket.socket, bytearray]] = []
# a crowd, but not all in the same instant
for _ in range(0, connections, 500):
    arrived = []
    for _ in range(min(500, connections)):
        client = socket.socket()
        # otherwise the kernel would buffer the whole recording
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.connect(address)
        client.sendall(request(slow_target))
        arrived.append(client)
    clients += [(client, bytearray(client.recv(12))) for client in arrived]

context = multiprocessing.get_context("fork")
result: "multiprocessing.Queue[float]" = context.Queue()
during = context.Process(target=measure, args=(result,))
during.start()
served = 0
rounds = 0
while during.is_alive() or rounds < 2:
    started = time.monotonic()
    rounds += 1
    served = 0
    for number, (client, _) in enumerate(clients):
        served += bool(client.recv(rate))
        # spread over the second
        if number % 20 == 19:
            ahead = started + (number + 1) / connections - time.monotonic()
            time.sleep(max(0, ahead))
print(
    json.dumps(
        {
            "idle_ms": round(idle, 2),
            "busy_ms": round(result.get(), 2),
            "opened": sum(start == b"HTTP/1.1 200" for _, start in clients),
            "served": served,
            "rounds": rounds,
        }
    )
)
