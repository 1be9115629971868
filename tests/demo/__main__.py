"""`./run demo`: three recordings behind real links, until Ctrl-C."""

import argparse
import os
import shlex
import signal
import sys
import threading
import urllib.request

from support.recordings import demo_recordings
from support.stack import BIN, Stack, StackError, running

from .page import LIFETIME, publish

PORT = 8080
# how old the page's JWE link may be when somebody opens the page, in seconds
RENEW = 10


def check_link(link: str) -> None:
    """Raise StackError when `link` does not open."""
    try:
        urllib.request.urlopen(link, timeout=5).close()
    except OSError as error:
        raise StackError(
            f"a link does not open ({error}): can user nobody enter the directory that"
            " TMPDIR names, /tmp by default?"
        ) from None


def make_link(stack: Stack, path: str, *options: str) -> str:
    link = stack.link(path, *options)
    check_link(link)
    return link


def main() -> None:
    parser = argparse.ArgumentParser(prog="./run demo", description=__doc__)
    parser.add_argument(
        "--port", type=int, default=PORT, metavar="N", help=f"default: {PORT}"
    )
    port = parser.parse_args().port
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    # nginx's workers must be able to read the recordings and the page
    os.umask(0o022)
    # a proxy that the environment names cannot reach 127.0.0.1
    direct = urllib.request.ProxyHandler({})
    urllib.request.install_opener(urllib.request.build_opener(direct))
    try:
        with running(demo_recordings(), port, page="starting") as stack:
            links = {path: make_link(stack, path) for path in demo_recordings()}
            publish(stack, links, LIFETIME + RENEW)
            print(describe(stack, links), flush=True)
            while not stop.wait(RENEW):
                publish(stack, links, LIFETIME + RENEW)
    except (StackError, OSError) as error:
        sys.exit(f"demo: {error}")


def describe(stack: Stack, links: dict[str, str]) -> str:
    """Return what the demo prints when it is up; `links` are its ECB links."""
    first = next(iter(links))
    jwe_link = make_link(stack, first, "--expires=15m", "--inline")
    listed = "\n".join(f"  {path}\n    {link}" for path, link in links.items())
    return (
        f"\nOpen this page:\n  {stack.url}/\n"
        f"\nECB links, which do not expire:\n{listed}\n"
        f"\nA JWE link, which expires in 15 minutes:\n  {first}\n    {jwe_link}\n"
        f"\nDownload a recording:\n  curl -OJ {shlex.quote(links[first])}\n"
        "\nMake a link that expires in 7 days:\n"
        f"  export SHIM_KEY_FILE={shlex.quote(f'{stack.root}/key')}\n"
        f"  export SHIM_JWE_KEY_FILE={shlex.quote(f'{stack.root}/jwe-key')}\n"
        f"  {shlex.quote(f'{BIN}/record-shim')} link --base-url {stack.url}"
        f" --expires 7d {first}\n"
        "\nPress Ctrl-C to stop."
    )


if __name__ == "__main__":
    main()
