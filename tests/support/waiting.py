import time
from collections.abc import Callable


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds; fail when it does not within a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "not true within a minute"
        time.sleep(0.02)
