"""The command record-shim, run in the test's own process."""

import re
from typing import NamedTuple, Protocol

from .links import TEST_JWE_KEY, TEST_KEY


class Result(NamedTuple):
    status: int
    out: str
    err: str


class Run(Protocol):
    """The fixture `run`."""

    def __call__(self, *args: str) -> Result: ...


def assert_one_line(result: Result, message: str) -> None:
    """Assert that a command failed with one line on stderr, which contains `message`."""
    assert (result.status, result.out) == (1, "")
    assert re.fullmatch(r"record-shim: [^\n]+\n", result.err)
    assert message in result.err
    assert TEST_KEY not in result.err
    assert TEST_JWE_KEY not in result.err
