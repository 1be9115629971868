import sys
from pathlib import Path

import pytest
from support.links import TEST_KEY
from support.recordings import BIG
from support.stack import Stack, StackError

from shim.tokens import ecb

sys.path.append(str(Path(__file__).with_name("bench")))
import bench

LINK = "/" + ecb.seal(BIG, (bytes.fromhex(TEST_KEY),))


def peer(stack: Stack, target: str) -> bench.Peer:
    return bench.Peer("peer", stack.port, {"10 MB": [target]}, None)


def test_a_peer_is_checked_before_it_is_timed(
    stack: Stack, recordings: dict[str, bytes]
) -> None:
    bench.check(peer(stack, LINK), {"10 MB": recordings[BIG]})
    with pytest.raises(StackError, match=r"peer: .* wrong bytes"):
        bench.check(peer(stack, LINK), {"10 MB": b"other"})
    with pytest.raises(StackError, match="peer: HTTP Error 404"):
        bench.check(peer(stack, "/none"), {"10 MB": b"other"})
