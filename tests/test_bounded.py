"""Work with a time limit, in a child process."""

import os
import signal
import time

import pytest

from shim.box.bounded import within
from shim.errors import Misconfigured

LATE = Misconfigured("late")


def dies() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def is_misconfigured() -> None:
    raise Misconfigured("problem", "remedy")


def test_a_result_and_an_error_come_back() -> None:
    assert within(10, lambda: 1 + 1, LATE) == 2
    with pytest.raises(Misconfigured, match="problem; remedy"):
        within(10, is_misconfigured, LATE)


def test_work_that_takes_too_long() -> None:
    with pytest.raises(Misconfigured, match="late"):
        within(0.1, lambda: time.sleep(60), LATE)


def test_a_child_that_dies() -> None:
    with pytest.raises(Misconfigured, match="a check ended without a result"):
        within(10, dies, LATE)
