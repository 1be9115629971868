"""The benchmark's own rules: what is timed has been checked, and is alike."""

import pytest
from bench.peers import Peer, audit_log, check
from support.links import ecb_target
from support.recordings import BIG
from support.stack import Stack, StackError

from shim.box.templates import nginx_site

LINK = ecb_target(BIG)


def peer(stack: Stack, target: str) -> Peer:
    return Peer("peer", stack.port, {"10 MB": [target]}, None)


def test_a_peer_is_checked_before_it_is_timed(
    stack: Stack, recordings: dict[str, bytes]
) -> None:
    check(peer(stack, LINK), {"10 MB": recordings[BIG]})
    with pytest.raises(StackError, match=r"peer: .* wrong bytes"):
        check(peer(stack, LINK), {"10 MB": b"other"})
    with pytest.raises(StackError, match="peer: HTTP Error 404"):
        check(peer(stack, "/none"), {"10 MB": b"other"})


def test_the_peers_write_the_log_of_the_site() -> None:
    site = nginx_site(
        records="/srv/records",
        listen="80",
        server_name="_",
        internal_prefix="/_records/",
    )
    log = audit_log(site)
    assert log.count("map $") == 3
    assert "log_format record_shim escape=json" in log
    assert '"record":"$uri"' in log
    assert log.endswith("""'"user_agent":"$record_shim_user_agent"}';""")
