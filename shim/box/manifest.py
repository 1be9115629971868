"""The manifest: which files install wrote, and their SHA-256, for `sha256sum -c`.

A file that no longer matches was edited.
"""

from . import files
from .layout import MANIFEST


def recorded() -> dict[str, str]:
    """Return the digests in the manifest, by path."""
    lines = (files.read(MANIFEST) or "").splitlines()
    return {path: digest for digest, _, path in (x.partition("  ") for x in lines)}


def text_of(digests: dict[str, str]) -> str:
    """Return the manifest of `digests`."""
    return "".join(f"{digests[x]}  {x}\n" for x in sorted(digests))
