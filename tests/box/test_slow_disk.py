"""A slow disk: reads from it must not hold up records that are in memory.

Needs no box, but root and FUSE, like the other tests here.
"""

import pytest
from support import slow_disk
from support.links import TEST_JWE_KEY, TEST_KEY, ecb_target
from support.stack import free_port, running

pytestmark = pytest.mark.usefixtures("alone")


@pytest.mark.parametrize("cache_time", [None, "10m"], ids=["plain", "cached"])
def test_cold_reads_do_not_hold_up_a_hot_link(cache_time: str | None) -> None:
    keys = {"key": TEST_KEY, "jwe_key": TEST_JWE_KEY}
    files = {"/hot.wav": b"x" * 19_000}
    with (
        running(files, free_port(), **keys, cache_time=cache_time) as stack,
        slow_disk.mounted(stack.records / slow_disk.NAME),
    ):
        waited = slow_disk.hot_link(stack, ecb_target("/hot.wav"), 8)
    # a single read takes 50 ms, and a worker that is held up waits for several
    assert waited.first_byte_ms < 50
    assert waited.whole_ms < 50
