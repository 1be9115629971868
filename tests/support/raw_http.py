"""Sends requests byte by byte and returns answers unchanged."""

import re
import socket
from dataclasses import dataclass
from typing import BinaryIO


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(found) < 2, f"{name} is there twice: {found}"
        return found[0] if found else None

    def without(self, *names: str) -> "Answer":
        kept = [item for item in self.headers if item[0] not in names]
        return Answer(self.status, kept, self.body)

    def with_fixed_boundary(self) -> "Answer":
        """Replace the multipart boundary, which nginx counts up."""
        boundary = re.search(r"boundary=(\w+)", self.header("Content-Type") or "")
        if not boundary:
            return self
        old, new = boundary[1], "0" * len(boundary[1])
        headers = [(key, value.replace(old, new)) for key, value in self.headers]
        return Answer(
            self.status, headers, self.body.replace(old.encode(), new.encode())
        )


def fetch(
    port: int,
    target: str,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    version: str = "1.1",
    times: int = 1,
    body: bytes = b"",
) -> list[Answer]:
    """Send the same request `times` times over one connection; return the answers:
    fewer when nginx closes it before.
    """
    answers = []
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as connection,
        connection.makefile("rb") as stream,
    ):
        for number in range(1, times + 1):
            fields = {"Host": "127.0.0.1"} | (headers or {})
            if body and "Transfer-Encoding" not in fields:
                fields["Content-Length"] = str(len(body))
            if number == times:
                fields["Connection"] = "close"
            elif version == "1.0":
                fields["Connection"] = "keep-alive"
            lines = [f"{key}: {value}\r\n" for key, value in fields.items()]
            head = f"{method} {target} HTTP/{version}\r\n{''.join(lines)}\r\n"
            # nginx closes after some answers (412) without saying so
            try:
                connection.sendall(head.encode("latin-1") + body)
                answers.append(_read(stream, method))
            except (EOFError, ConnectionError):
                return answers
            if answers[-1].header("Connection") == "close":
                break
        assert stream.read() == b"", "bytes after the last answer"
    return answers


def get(port: int, target: str, **headers: str) -> Answer:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    [answer] = fetch(port, target, headers=fields)
    return answer


def _read(stream: BinaryIO, method: str) -> Answer:
    status_line = stream.readline()
    if not status_line:
        raise EOFError
    status = int(status_line.split()[1])
    headers = []
    while line := stream.readline().strip():
        name, _, value = line.decode("latin-1").partition(": ")
        headers.append((name, value))
    length = Answer(status, headers, b"").header("Content-Length")
    has_body = method != "HEAD" and status not in (204, 304)
    return Answer(status, headers, stream.read(int(length or 0)) if has_body else b"")
