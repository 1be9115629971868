"""record-shim link and record-shim open."""

import contextlib
import math
import os
import re
import time
from datetime import datetime

import click

from ..box import key_files, layout, running_keys
from ..box.settings_file import box_environ
from ..errors import Misconfigured
from ..tokens import ecb, is_jwe, jwe, opener, token_of
from ..tokens.claims import TIME_MAX, Claims, check_times, utc
from ..tokens.keys import ECB, JWE, Keyring, Keyrings, load_keyrings
from ..tokens.keys import key_file as find_key_file
from ..tokens.paths import record_name
from ..tokens.settings import load_settings
from .options import key_file_option, link_or_stdin

_DURATION = re.compile(r"([1-9][0-9]{0,9})([smhd])")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?)(Z|[+-]\d\d:\d\d)", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@click.command()
@click.argument("path")
@click.option(
    "--expires",
    metavar="TIME",
    help="Make a JWE token that expires after a duration, such as 15m, 36h or 7d, or at a"
    " time, such as 2027-01-31T18:00:00Z.",
)
@click.option(
    "--filename", metavar="NAME", help="The name under which browsers save the record."
)
@click.option(
    "--inline",
    is_flag=True,
    help="Let browsers play the record instead of downloading it.",
)
@click.option(
    "--base-url", metavar="URL", help="Print a link instead of the token alone."
)
@key_file_option
def link(
    path: str,
    expires: str | None,
    filename: str | None,
    inline: bool,
    base_url: str | None,
    key_file: str | None,
) -> None:
    """Make a token, or a link, for the record at PATH.

    It is an ECB token or, with --expires, a JWE token.

    \b
    Example: record-shim link --expires 7d --base-url https://storage.example.com /300/a.mp3
    """
    if base_url is not None and not re.match(r"https?://[^/]", base_url):
        raise Misconfigured(
            f"--base-url {base_url!r}: not a URL",
            "use a URL such as https://storage.example.com",
        )
    if expires is None:
        if filename is not None or inline:
            raise click.UsageError("--filename and --inline require --expires")
        variable = ECB
        token = ecb.seal(path, _keyring(key_file, ECB))
    else:
        claims = Claims(
            path,
            exp=_expiry(expires, time.time()),
            filename=filename,
            disposition="inline" if inline else None,
        )
        variable = JWE
        token = jwe.seal(claims, _keyring(key_file, JWE))
    record_name(path, _path_prefix())
    click.echo(token if base_url is None else f"{base_url.rstrip('/')}/{token}")
    _warn_of_other_keys(key_file, variable)


# a token may start with a dash, even with -h
@click.command(
    "open",
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
)
@click.argument("token_or_link")
@key_file_option
def open_(token_or_link: str, key_file: str | None) -> None:
    """Show the content of a token or link.

    An expired link is shown too, but the exit status is 1. With -, the link is read from
    standard input, which keeps it out of the shell history.

    \b
    Example: record-shim open LINK
    """
    token = token_of(link_or_stdin(token_or_link))
    claims = opener(_load(key_file, JWE if is_jwe(token) else ECB))(token)
    record_name(claims.path, _path_prefix())
    click.echo(claims.path)
    if claims.exp is not None:
        click.echo(f"expires: {utc(claims.exp)}")
    if claims.nbf is not None:
        click.echo(f"not before: {utc(claims.nbf)}")
    if claims.filename is not None:
        click.echo(f"filename: {claims.filename}")
    if claims.disposition is not None:
        click.echo(f"disposition: {claims.disposition}")
    check_times(claims, time.time())


def _expiry(expires: str, now: float) -> int:
    """Return the time that --expires means, in whole seconds since 1970.

    A duration is rounded up. Raises Misconfigured.
    """
    if duration := _DURATION.fullmatch(expires):
        exp = math.ceil(now) + int(duration[1]) * _SECONDS[duration[2]]
    elif moment := _TIME.fullmatch(expires):
        zone = "+00:00" if moment[2] == "Z" else moment[2]
        try:
            exp = int(datetime.fromisoformat(moment[1] + zone).timestamp())
        except ValueError:
            raise Misconfigured(f"--expires {expires!r}: no such time") from None
    else:
        raise Misconfigured(
            f"--expires {expires!r}: neither a duration nor a time",
            "use a duration such as 15m, 36h or 7d (s, m, h or d), or an ISO 8601 time with"
            " its zone, such as 2027-01-31T18:00:00Z",
        )
    if exp <= now:
        raise Misconfigured(f"--expires {expires!r}: in the past; it is now {utc(now)}")
    if exp > TIME_MAX:
        raise Misconfigured(f"--expires {expires!r}: after the year 9999")
    return exp


def _environ() -> dict[str, str]:
    """Return the settings of this box, if it is one, overridden by the environment."""
    return {**box_environ(), **os.environ}


def _load(path: str | None, variable: str) -> Keyrings:
    """Return the keys of both formats, those of `variable` from `path` if it is given.

    Both, so that a key file of the other format is noticed.
    """
    if path == "":
        # such as an unset variable of a script
        raise Misconfigured("--key-file is empty", "give it the path of a key file")
    given = {} if path is None else {variable: path}
    return load_keyrings({**_environ(), **given})


def _keyring(path: str | None, variable: str) -> Keyring:
    keyrings = _load(path, variable)
    keyring = keyrings.jwe if variable == JWE else keyrings.ecb
    if not keyring:
        raise Misconfigured(
            f"no key file for {'JWE' if variable == JWE else 'ECB'} links",
            f"set {variable} to the path of one, or use --key-file; on a storage box it is"
            f" {layout.KEY_FILES[variable]}, readable by root",
        )
    return keyring


def _warn_of_other_keys(path: str | None, variable: str) -> None:
    """Say so when the running service of this box has not read the key file yet."""
    used = path or find_key_file(_environ(), variable)
    if not used or not key_files.is_in_use(used):
        return
    # as another user, or while the service or systemd is stopped, nobody can tell
    with contextlib.suppress(OSError, Misconfigured):
        if running_keys.differ(variable):
            click.echo(
                "record-shim: the key file has changed since the service started, so this"
                " link may not open yet; run record-shim restart",
                err=True,
            )


def _path_prefix() -> str:
    return load_settings(_environ()).path_prefix
