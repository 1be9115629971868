"""The files that the tests and the demo serve."""

import json
from pathlib import Path

DATA = Path(__file__).parents[1] / "data"
RECORDINGS = DATA / "recordings"
VECTORS = json.loads((DATA / "vectors.json").read_text("utf-8"))

# Other files that a link can name. Each must look like a missing file.
OTHER_FILES = {"/300/.hidden.mp3": b"hidden", "/.htpasswd": b"hidden"}
MP3 = "/300/2017-02-17-11-05-04_in_300_uhl4.mp3"
CYRILLIC = "/300/2024-06-03-09-15-00_in_Отдел продаж_x7k2.mp3"
BIG = "/300/big.wav"
# percent-encoded it takes 9 KB of header
LONG = "/" + "/".join(["д" * 127] * 12) + "/запись.mp3"


def demo_recordings() -> dict[str, bytes]:
    """Return the three recordings, path: content, as a PBX lays them out."""
    return {
        f"/300/{file.name}": file.read_bytes() for file in sorted(RECORDINGS.iterdir())
    }


def recording(path: str) -> bytes:
    """Return bytes that only the file at `path` holds."""
    return f"recording of {path}\n".encode() * 500


def all_recordings() -> dict[str, bytes]:
    """Return everything that the test suite serves, path: content."""
    opens = {
        vector["path"]: recording(vector["path"]) for vector in VECTORS["opens"]
    } | {LONG: recording(LONG)}
    return opens | demo_recordings() | {BIG: bytes(range(256)) * 40_000} | OTHER_FILES
