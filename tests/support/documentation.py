"""The commands that the documentation shows."""

import re
import textwrap

from .checkout import CHECKOUT


def sections(page: str) -> dict[str, list[str]]:
    """Return the blocks of commands in each section of a page that has any."""
    blocks: dict[str, list[str]] = {}
    text = (CHECKOUT / page).read_text("utf-8")
    # headings, and blocks, which may be indented as part of a list
    found = re.finditer(
        r"^#+ ([^\n]*)$|^ *```(\w*)\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL
    )
    heading = ""
    for match in found:
        if match[1]:
            heading = match[1]
        elif match[2] == "sh":
            blocks.setdefault(heading, []).append(textwrap.dedent(match[3]))
    return blocks


def commands(page: str, heading: str) -> str:
    return "".join(sections(page)[heading])
