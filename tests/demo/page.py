"""The demo's front page."""

import os
import time
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from support.stack import Stack

# how long the JWE link on the page lives, in seconds
LIFETIME = 60
# the characters of a token that the page shows behind the ellipsis
TAIL = 8

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    trim_blocks=True,
    undefined=StrictUndefined,
)
# relative, so that the page also works at another address, such as a tunnel's
TEMPLATES.filters["target"] = lambda link: "/" + link.rpartition("/")[2]


def publish(stack: Stack, ecb_links: dict[str, str], lifetime: int = LIFETIME) -> None:
    """Write the stack's front page with `ecb_links` (path: link) and a new JWE link.

    The JWE link leads to the first recording and expires `lifetime` seconds from now.
    """
    expires = int(time.time()) + lifetime
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expires))
    jwe_link = stack.link(next(iter(ecb_links)), f"--expires={until}", "--inline")
    text = TEMPLATES.get_template("page.html").render(
        base_url=stack.url,
        ecb_links=ecb_links,
        jwe_link=jwe_link,
        altered_link=alter(jwe_link),
        expires=expires,
        lifetime=lifetime,
        tail=TAIL,
    )
    new = stack.root / "page" / "index.html.new"
    new.write_text(text, encoding="utf-8")
    # nginx never sends half a page
    os.replace(new, stack.root / "page" / "index.html")


def alter(link: str) -> str:
    """Return `link` with one character of its authentication tag changed."""
    was = link[-TAIL]
    return f"{link[:-TAIL]}{'B' if was == 'A' else 'A'}{link[1 - TAIL :]}"
