"""Options and arguments that several commands share."""

import sys

import click

from ..box.layout import DIRECTORY
from ..box.templates import CACHE_TIME, HTTP_PORT, HTTPS_PORT
from ..errors import Misconfigured
from ..tokens.keys import ECB, JWE

key_file_option = click.option(
    "--key-file",
    metavar="FILE",
    help=(
        f"The key file. The default is {ECB} or, for JWE links, {JWE}; on a storage box,"
        f" the file in {DIRECTORY}."
    ),
)
listen_option = click.option(
    "--listen",
    metavar="[ADDR:]PORT",
    help=(
        f"Where nginx listens: port {HTTP_PORT} by default, {HTTPS_PORT} with --certificate."
        " Without ADDR, on all IPv4 and IPv6 addresses."
    ),
)
certificate_option = click.option(
    "--certificate",
    metavar="FILE",
    help=(
        "Serve https with this certificate and its chain (PEM). Port"
        f" {HTTP_PORT} then redirects to https."
    ),
)
certificate_key_option = click.option(
    "--certificate-key", metavar="FILE", help="The certificate's private key (PEM)."
)
cache_option = click.option(
    "--cache",
    is_flag=True,
    help="Use the cached form: nginx keeps opened tokens in memory.",
)
cache_time_option = click.option(
    "--cache-time",
    metavar="TIME",
    help=f"How long nginx keeps them, such as 90s, {CACHE_TIME} (the default) or 1h.",
)


def require_both(certificate: str | None, certificate_key: str | None) -> None:
    """Raise UsageError when only one of the two is given."""
    if (certificate is None) != (certificate_key is None):
        raise click.UsageError("--certificate and --certificate-key require each other")


def cache_time_of(cache: bool, cache_time: str | None) -> str | None:
    """Return how long nginx keeps opened tokens, None in the plain form."""
    if cache_time is not None and not cache:
        raise click.UsageError("--cache-time requires --cache")
    return cache_time or CACHE_TIME if cache else None


def link_or_stdin(link: str) -> str:
    """Return `link`, or the first line of standard input for `-`; raises Misconfigured."""
    given = sys.stdin.readline() if link == "-" else link
    if not given.strip():
        raise Misconfigured("no link was given")
    return given
