"""Ask for mutations of a token; print how often each status came, as JSON.

Runs on the box's own Python: mutated.py REQUESTS SEED HOST TOKEN
"""

import collections
import http.client
import json
import multiprocessing
import random
import string
import sys

PROCESSES = 4
ALPHABET = string.ascii_letters + string.digits + "-_"
ODD = ["=", "%00", "%0a", "%2f", "%2F..%2F", "%ff", ".", "/", "+", "?", "%3D", "~"]

requests, seed = map(int, sys.argv[1:3])
host, token = sys.argv[3:]


def mutated(choose: random.Random) -> str:
    text = list(token)
    for _ in range(choose.randint(1, 4)):
        at = choose.randrange(len(text))
        kind = choose.randrange(5)
        if kind == 0:
            text[at] = choose.choice(ALPHABET)
        elif kind == 1:
            del text[at:]
        elif kind == 2:
            text[at:at] = choose.choices(
                ALPHABET, k=choose.choice([1, 2, 21, 22, 6000])
            )
        elif kind == 3:
            text.insert(at, choose.choice(ODD))
        else:
            text[at:at] = text[: choose.randrange(len(text))]
        text = text or ["A"]
    return "".join(text[:7000])


def ask(seed: int, result: "multiprocessing.Queue[collections.Counter[str]]") -> None:
    choose = random.Random(seed)
    connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=60)
    statuses: collections.Counter[str] = collections.Counter()
    for _ in range(requests // PROCESSES):
        try:
            connection.request("GET", f"/{mutated(choose)}", headers={"Host": host})
            answer = connection.getresponse()
            answer.read()
            statuses[str(answer.status)] += 1
        except http.client.RemoteDisconnected:
            # nginx closes after keepalive_requests (1000)
            connection.close()
            statuses["again"] += 1
    result.put(statuses)


context = multiprocessing.get_context("fork")
result: "multiprocessing.Queue[collections.Counter[str]]" = context.Queue()
for number in range(PROCESSES):
    context.Process(target=ask, args=(seed + number, result)).start()
total = sum((result.get() for _ in range(PROCESSES)), collections.Counter())
print(json.dumps(total))
