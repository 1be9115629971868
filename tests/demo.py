"""`./run demo`: three recordings behind real links, until Ctrl-C."""

import argparse
import html
import shlex
import signal
import sys
import threading
import urllib.request

from support.recordings import demo_recordings
from support.stack import BIN, Stack, StackError, running

PORT = 8080


def front_page(links: dict[str, str]) -> str:
    """Return a page that lists `links` (path: link), each with a player."""
    rows = "\n".join(
        f'<li><a href="{html.escape(link)}">{html.escape(path)}</a><br>'
        f'<audio controls preload="metadata" src="{html.escape(link)}"></audio></li>'
        for path, link in links.items()
    )
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        "<title>record-shim demo</title>\n"
        "<style>body{font:1rem/1.6 system-ui,sans-serif;max-width:44rem;"
        "margin:3rem auto;padding:0 1rem}ul{list-style:none;padding:0}"
        "li{margin:1.5rem 0;overflow-wrap:anywhere}audio{width:100%}</style>\n"
        "<h1>Call recordings</h1>\n<p>Every name is a link that carries its path"
        f" encrypted.</p>\n<ul>\n{rows}\n</ul>\n</html>\n"
    )


def check_link(link: str) -> None:
    """Raise StackError when `link` does not open."""
    try:
        urllib.request.urlopen(link, timeout=5).close()
    except OSError as error:
        raise StackError(
            f"a link does not open ({error}): can user nobody reach the directory that"
            " TMPDIR names, /tmp by default?"
        ) from None


def publish(stack: Stack, paths: list[str], *options: str) -> dict[str, str]:
    """Write the stack's front page; return its links, path: link.

    `options` are those of `record-shim link`.
    """
    links = {path: stack.link(path, *options) for path in paths}
    for link in links.values():
        check_link(link)
    (stack.root / "page/index.html").write_text(front_page(links), encoding="utf-8")
    return links


def main() -> None:
    parser = argparse.ArgumentParser(prog="./run demo", description=__doc__)
    parser.add_argument("--port", type=int, default=PORT, metavar="N")
    port = parser.parse_args().port
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    try:
        with running(demo_recordings(), port, page="starting") as stack:
            links = publish(stack, list(demo_recordings()))
            print(f"\nFront page: {stack.url}/\n\nLinks:")
            for path, link in links.items():
                print(f"  {path}\n    {link}")
            first = next(iter(links))
            sealed = stack.link(first, "--expires=15m", "--inline")
            check_link(sealed)
            print(f"\nSealed, good for 15 minutes:\n  {first}\n    {sealed}")
            print(
                "\nTry:\n  curl -OJ " + shlex.quote(next(iter(links.values()))) + "\n"
                "\nTo make links of your own:\n"
                f"  export SHIM_KEY_FILE={stack.root}/key BASE_URL={stack.url}\n"
                f"  export SHIM_JWE_KEY_FILE={stack.root}/jwe-key\n"
                f'  {BIN}/record-shim link --base-url "$BASE_URL" --expires 7d {first}\n'
                "\nCtrl-C stops everything.",
                flush=True,
            )
            stop.wait()
    except StackError as error:
        sys.exit(f"demo: {error}")


if __name__ == "__main__":
    main()
