"""The command record-shim: keys, links, configuration, and the box it runs on."""

import errno
import io
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import click

from .. import __version__
from ..box import install as installation
from ..box import system as box
from ..box.check import Finding, check_box
from ..box.templates import (
    CACHE_DIR,
    CACHE_TIME,
    LOG_DIR,
    SOCKET,
    UNITS,
    nginx_site,
    unit,
)
from ..errors import Misconfigured, Refused, utc
from ..tokens import ecb, is_sealed, jwe, reader, token_of
from ..tokens.claims import TIME_MAX, Claims, check_times
from ..tokens.keys import API, JWE, Keyring, Keyrings, load_keyrings, new_key, rotate
from ..tokens.paths import parse_internal_prefix, parse_path_prefix, record_name

Command = Callable[..., Any]


def main(args: list[str] | None = None) -> None:
    """Run the command; an error is one line on stderr and exit status 1 (2 for usage)."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        # what the terminal's character set has not is still read and shown
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        commands.main(args, prog_name="record-shim")
    except (Misconfigured, Refused) as error:
        click.echo(f"record-shim: {error}", err=True)
    except OSError as error:
        # such as a full disk behind a redirection
        click.echo(f"record-shim: output: {error.strerror}", err=True)
    else:
        return
    sys.exit(1)


def _key_file_option(command: Command) -> Command:
    return click.option(
        "--key-file",
        metavar="FILE",
        help=(
            f"The key file; without it, the one that {API} names, or {JWE} for a sealed"
            " link, or this box's own."
        ),
    )(command)


def _load(path: str | None, variable: str) -> Keyrings:
    """Return the keys of both formats, the one of `variable` from `path` if it is given.

    Both, so that a key file of the other format is noticed.
    """
    if path == "":
        # such as an unset variable of a script
        raise Misconfigured("--key-file: it is empty; it must name a key file")
    given = {} if path is None else {variable: path}
    return load_keyrings({**_environ(), **given})


def _environ() -> dict[str, str]:
    """Return the settings: this box's, if it is one, and over them the environment's."""
    return {**box.environ(), **os.environ}


def _keyring(path: str | None, variable: str) -> Keyring:
    keyrings = _load(path, variable)
    keyring = keyrings.jwe if variable == JWE else keyrings.api
    if not keyring:
        raise Misconfigured(
            f"no key file for this: set {variable} to the path of one, or give"
            f" --key-file; on the box it is {box.KEY_FILES[variable]}, for root"
        )
    return keyring


def _listen_option(command: Command) -> Command:
    return click.option(
        "--listen",
        default="80",
        show_default=True,
        metavar="[ADDR:]PORT",
        help="Where nginx listens; without ADDR, on IPv4 and IPv6.",
    )(command)


def _cache_options(command: Command) -> Command:
    for option in (
        click.option(
            "--cache-time",
            metavar="TIME",
            help=f"For how long, such as 90s, {CACHE_TIME} (the default) or 1h.",
        ),
        click.option(
            "--cache", is_flag=True, help="The form that remembers opened tokens."
        ),
    ):
        command = option(command)
    return command


def _cache_time(cache: bool, cache_time: str | None) -> str | None:
    if cache_time is not None and not cache:
        raise click.UsageError("--cache-time goes with --cache")
    return cache_time or CACHE_TIME if cache else None


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(version)s")
def commands() -> None:
    """Opens encrypted links to call recordings; nginx serves the files.

    \b
    Example: record-shim open LINK
    """


@commands.command()
@click.option(
    "--output", metavar="FILE", help="Write a new file, mode 0600, in place of stdout."
)
@click.option(
    "--rotate",
    "rotated",
    metavar="FILE",
    help="Put the key first into a key file that is there; the old keys stay.",
)
def keygen(output: str | None, rotated: str | None) -> None:
    """Make a key: 32 random bytes as 64 hex digits.

    --output is for a file that is not there yet, --rotate for one that is.

    \b
    Example: record-shim keygen --output /etc/record-shim/jwe-key
    """
    if output is not None and rotated is not None:
        raise click.UsageError("--output makes a new file, --rotate changes one")
    if rotated is not None:
        rotate(rotated)
    elif output is not None:
        _write_new(output, new_key())
    else:
        click.echo(new_key(), nl=False)


_ROTATE = "; --rotate FILE adds a key to it"


def _write_new(output: str, line: str) -> None:
    try:
        # O_EXCL: a key that links were made with is never overwritten
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Misconfigured(
            f"key file {output!r}: {error.strerror}; nothing was written"
            f"{_ROTATE if error.errno == errno.EEXIST else ''}"
        ) from None
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(line)
    except OSError as error:
        os.unlink(output)
        raise Misconfigured(
            f"key file {output!r}: {error.strerror}; it was taken away again"
        ) from None


@commands.command()
@click.argument("path")
@click.option(
    "--expires",
    metavar="TIME",
    help="Print a sealed token: for so long, such as 15m, 36h or 7d, or until then,"
    " such as 2027-01-31T18:00:00Z.",
)
@click.option(
    "--filename", metavar="NAME", help="What the download is called (with --expires)."
)
@click.option("--inline", is_flag=True, help="Play, not download (with --expires).")
@click.option(
    "--base-url", metavar="URL", help="Print a whole link, not the token alone."
)
@_key_file_option
def link(
    path: str,
    expires: str | None,
    filename: str | None,
    inline: bool,
    base_url: str | None,
    key_file: str | None,
) -> None:
    """Make a token, or a whole link, of the record at PATH.

    It is one of the API's format; with --expires, a sealed one.

    \b
    Example: record-shim link --expires 7d --base-url https://storage.example.com /300/a.mp3
    """
    if base_url is not None and not re.match(r"https?://[^/]", base_url):
        raise Misconfigured(
            f"--base-url {base_url!r}: must start with https:// or http://, such as"
            " https://storage.example.com"
        )
    if expires is None:
        if filename is not None or inline:
            raise click.UsageError("--filename and --inline go with --expires")
        token = ecb.seal(path, _keyring(key_file, API))
    else:
        claims = Claims(
            path,
            exp=_end(expires, time.time()),
            filename=filename,
            disposition="inline" if inline else None,
        )
        token = jwe.seal(claims, _keyring(key_file, JWE))
    record_name(path, _path_prefix())
    click.echo(token if base_url is None else f"{base_url.rstrip('/')}/{token}")


_DURATION = re.compile(r"([1-9][0-9]{0,9})([smhd])")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?)(Z|[+-]\d\d:\d\d)", re.ASCII)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _end(expires: str, now: float) -> int:
    """Return the end that --expires names, in whole seconds since 1970.

    A duration is rounded up. Raises Misconfigured.
    """
    if duration := _DURATION.fullmatch(expires):
        end = math.ceil(now) + int(duration[1]) * _UNITS[duration[2]]
    elif time := _TIME.fullmatch(expires):
        zone = "+00:00" if time[2] == "Z" else time[2]
        try:
            end = int(datetime.fromisoformat(time[1] + zone).timestamp())
        except ValueError:
            raise Misconfigured(
                f"--expires {expires!r}: there is no such time"
            ) from None
    else:
        raise Misconfigured(
            f"--expires {expires!r}: must be a duration such as 15m, 36h or 7d (s, m, h or"
            " d), or an ISO 8601 time with its zone, such as 2027-01-31T18:00:00Z"
        )
    if end <= now:
        raise Misconfigured(f"--expires {expires!r}: is in the past; it is {utc(now)}")
    if end > TIME_MAX:
        raise Misconfigured(f"--expires {expires!r}: is after the year 9999")
    return end


# a token may start with a dash, and even with -h
@commands.command(
    "open",
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
)
@click.argument("token_or_link")
@_key_file_option
def open_(token_or_link: str, key_file: str | None) -> None:
    """Show what is in a token or a whole link.

    An expired link is shown too, but the exit status is 1. With - the link is read from
    standard input, and gets into no shell history.

    \b
    Example: record-shim open LINK
    """
    token = token_of(_or_stdin(token_or_link))
    claims = reader(_load(key_file, JWE if is_sealed(token) else API))(token)
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


def _or_stdin(link: str) -> str:
    return sys.stdin.readline() if link == "-" else link


def _path_prefix() -> str:
    return parse_path_prefix(_environ().get("SHIM_PATH_PREFIX", ""))


@commands.group()
def render() -> None:
    """Print the configuration of nginx or systemd.

    \b
    Example: record-shim render nginx --records /srv/records
    """


@render.command()
@click.option("--records", required=True, metavar="DIR", help="The records directory.")
@_listen_option
@click.option(
    "--server-name",
    default="_",
    metavar="NAME",
    help="The host name in the links; leave it out where this is the only site.",
)
@click.option(
    "--socket",
    default=SOCKET,
    show_default=True,
    metavar="PATH",
    help="The endpoint's unix socket.",
)
@click.option(
    "--log-dir",
    default=LOG_DIR,
    show_default=True,
    metavar="DIR",
    help="Where the audit log goes.",
)
@_cache_options
@click.option(
    "--cache-dir",
    default=CACHE_DIR,
    show_default=True,
    metavar="DIR",
    help="Where nginx keeps opened tokens; nginx makes it.",
)
def nginx(
    records: str,
    listen: str,
    server_name: str,
    socket: str,
    log_dir: str,
    cache: bool,
    cache_time: str | None,
    cache_dir: str,
) -> None:
    """Print the nginx site, for /etc/nginx/conf.d/.

    The internal prefix is SHIM_INTERNAL_PREFIX, as for the endpoint.

    \b
    Example: record-shim render nginx --records /srv/records
    """
    site = nginx_site(
        records=records,
        listen=listen,
        server_name=server_name,
        internal_prefix=parse_internal_prefix(
            os.environ.get("SHIM_INTERNAL_PREFIX", "")
        ),
        socket=socket,
        log_dir=log_dir,
        cache_time=_cache_time(cache, cache_time),
        cache_dir=cache_dir,
    )
    click.echo(site, nl=False)


@render.command()
@click.argument("name", metavar="[UNIT]", required=False, type=click.Choice(UNITS))
@click.option(
    "--records",
    default="/srv",
    show_default=True,
    metavar="DIR",
    help="The records directory, which the service shall not see.",
)
def systemd(name: str | None, records: str) -> None:
    """Print the units, or the one named, for /etc/systemd/system/.

    \b
    Example: record-shim render systemd record-shim.service
    """
    texts = {each: unit(each, records) for each in UNITS}
    if name is not None:
        click.echo(texts[name], nl=False)
        return
    # as `systemctl cat` shows several
    click.echo(
        "\n".join(f"# /etc/systemd/system/{each}\n{texts[each]}" for each in UNITS),
        nl=False,
    )


@commands.command()
@click.option("--records", required=True, metavar="DIR", help="The records directory.")
@click.option(
    "--server-name", required=True, metavar="NAME", help="The host name in the links."
)
@_listen_option
@_cache_options
@click.option("--dry-run", is_flag=True, help="Show what would change; change nothing.")
@click.option(
    "--force", is_flag=True, help="Replace edited files too; keep them as FILE.bak."
)
def install(
    records: str,
    server_name: str,
    listen: str,
    cache: bool,
    cache_time: str | None,
    dry_run: bool,
    force: bool,
) -> None:
    """Set this box up, or bring it up to date. As root.

    It makes a key, the units and the nginx site, and starts them.

    Run again, it changes only what differs, and never a file that was edited.

    \b
    Example: record-shim install --records /srv/records --server-name storage.example.com
    """
    for line in installation.install(
        records=records,
        server_name=server_name,
        listen=listen,
        cache_time=_cache_time(cache, cache_time),
        dry_run=dry_run,
        force=force,
    ):
        click.echo(line)
    if not dry_run:
        _report(check_box())


@commands.command()
@click.option(
    "--purge",
    is_flag=True,
    help="Delete all keys and the settings too: no link opens ever again.",
)
def uninstall(purge: bool) -> None:
    """Take out what install put in; keys and records stay. As root.

    \b
    Example: record-shim uninstall
    """
    for line in installation.uninstall(purge=purge):
        click.echo(line)


@commands.command()
def forget() -> None:
    """Empty nginx's memory of opened links (install --cache). As root.

    For after a key was taken away, or a record deleted.

    \b
    Example: record-shim forget
    """
    click.echo(installation.forget())


@commands.command()
@click.option("--path", metavar="RECORD", help="Fetch this record, not just any.")
@click.option(
    "--url",
    metavar="LINK",
    help="Find out what is wrong with this link; - reads it from standard input.",
)
def check(path: str | None, url: str | None) -> None:
    """Look for what could keep links from opening. As root.

    It ends with real downloads.

    \b
    Example: record-shim check --path /300/a.mp3
    """
    if path is not None and url is not None:
        raise click.UsageError("--path and --url each name a record: give one")
    _report(check_box(path, None if url is None else _or_stdin(url)))


def _report(findings: Iterable[Finding]) -> None:
    sound = True
    for finding in findings:
        click.echo(f"{'✓' if finding.ok else '✗'} {finding.text}")
        sound = sound and finding.ok
    if not sound:
        sys.exit(1)
