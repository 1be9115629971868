"""The command line of wrk, which generates load."""

from pathlib import Path

CONNECTIONS = 64
SCRIPT = Path(__file__).with_name("targets.lua")


def command(
    port: int, lines: Path, seconds: float, connections: int = CONNECTIONS
) -> list[str]:
    """Return the wrk command that requests the lines of a file in turn."""
    return [
        *("wrk", "--latency", "-t2", f"-c{connections}", f"-d{seconds}s"),
        *("--timeout", "60s", "-s", str(SCRIPT)),
        *(f"http://127.0.0.1:{port}", "--", str(lines)),
    ]
