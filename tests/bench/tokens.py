"""The keys of the benchmark, and links made with them."""

import time

from shim.tokens import ecb, jwe
from shim.tokens.claims import Claims

KEY, JWE_KEY = bytes(range(32)), bytes(range(32, 64))


def ecb_target(path: str) -> str:
    return "/" + ecb.seal(path, (KEY,))


def jwe_target(path: str) -> str:
    return "/" + jwe.seal(Claims(path, exp=time.time() + 86400), (JWE_KEY,))
