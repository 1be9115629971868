"""Certificates of an authority of the tests' own, made with openssl."""

import subprocess
from pathlib import Path
from typing import NamedTuple


class Certificate(NamedTuple):
    """A certificate, its key, and the certificate of the authority that issued it."""

    file: Path
    key: Path
    authority: Path


def issue(directory: Path, host: str, days: int = 90) -> Certificate:
    """Make an authority and a certificate for `host` in `directory`."""
    authority, authority_key = directory / "authority.pem", directory / "authority.key"
    file, key = directory / "certificate.pem", directory / "certificate.key"
    name = ("-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    own = ("-subj", "/CN=tests", "-days", "3650")
    _openssl(*own, *curve, "-keyout", authority_key, "-out", authority)
    issuer = ("-CA", authority, "-CAkey", authority_key, "-days", str(days))
    _openssl(*name, *curve, *issuer, "-keyout", key, "-out", file)
    return Certificate(file, key, authority)


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", *arguments], check=True, capture_output=True
    )
