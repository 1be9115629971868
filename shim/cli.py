"""The command record-shim: keys, links, configuration, and the box it runs on."""

import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

import click

from . import __version__, ecb, installation
from .check import Finding, check_box
from .errors import Misconfigured, Refused
from .keys import Keyring, key_file, load_keyring, new_key, rotate
from .paths import parse_internal_prefix, parse_path_prefix, record_name
from .templates import (
    CACHE_DIR,
    CACHE_TIME,
    LOG_DIR,
    SOCKET,
    UNITS,
    nginx_site,
    unit,
)

Command = Callable[..., Any]


def main(args: list[str] | None = None) -> None:
    """Run the command; an error is one line on stderr and exit status 1 (2 for usage)."""
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
        help="The key file; without it, the one that SHIM_KEY_FILE names.",
    )(command)


def _load(path: str | None) -> Keyring:
    return load_keyring(path or key_file(os.environ))


def _listen_option(command: Command) -> Command:
    return click.option(
        "--listen",
        default="80",
        show_default=True,
        metavar="ADDR:PORT",
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
    Example: record-shim open --key-file /etc/record-shim/key LINK
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

    \b
    Example: record-shim keygen --output /etc/record-shim/key
    """
    if output and rotated:
        raise click.UsageError("--output makes a new file, --rotate changes one")
    if rotated:
        rotate(rotated)
    elif output:
        _write_new(output, new_key())
    else:
        click.echo(new_key(), nl=False)


def _write_new(output: str, line: str) -> None:
    try:
        # O_EXCL: a key that links were made with is never overwritten
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Misconfigured(
            f"key file {output!r}: {error.strerror}; nothing was written"
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
    "--base-url", metavar="URL", help="Print a whole link, not the token alone."
)
@_key_file_option
def link(path: str, base_url: str | None, key_file: str | None) -> None:
    """Print the token of the record at PATH, as the API writes it.

    \b
    Example: record-shim link --base-url https://storage.example.com /300/a.mp3
    """
    token = ecb.seal(path, _load(key_file))
    record_name(path, _path_prefix())
    click.echo(token if base_url is None else f"{base_url.rstrip('/')}/{token}")


# a token may start with a dash, and even with -h
@commands.command(
    "open",
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
)
@click.argument("token_or_link")
@_key_file_option
def open_(token_or_link: str, key_file: str | None) -> None:
    """Print the path that a token or a whole link carries.

    \b
    Example: record-shim open --key-file /etc/record-shim/key LINK
    """
    path = ecb.opener(_load(key_file))(ecb.token_of(token_or_link))
    record_name(path, _path_prefix())
    click.echo(path)


def _path_prefix() -> str:
    return parse_path_prefix(os.environ.get("SHIM_PATH_PREFIX", ""))


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
    """Set this box up, or bring it up to date: key, units, nginx site. As root.

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
@click.option("--purge", is_flag=True, help="Take the key and the settings too.")
def uninstall(purge: bool) -> None:
    """Take out what install put in; the key and the records stay. As root.

    \b
    Example: record-shim uninstall
    """
    for line in installation.uninstall(purge=purge):
        click.echo(line)


@commands.command()
def forget() -> None:
    """Make nginx ask the endpoint again about every link (with --cache). As root.

    For after a key was taken away, or a record deleted.

    \b
    Example: record-shim forget
    """
    click.echo(installation.forget())


@commands.command()
@click.option("--path", metavar="RECORD", help="Fetch this record, not just any.")
@click.option("--url", metavar="LINK", help="Find out what is wrong with this link.")
def check(path: str | None, url: str | None) -> None:
    """Look for all that could keep links from opening, and open one. As root.

    \b
    Example: record-shim check --path /300/a.mp3
    """
    if path and url:
        raise click.UsageError("--path and --url each name a record: give one")
    _report(check_box(path, url))


def _report(findings: Iterable[Finding]) -> None:
    sound = True
    for finding in findings:
        click.echo(f"{'✓' if finding.ok else '✗'} {finding.text}")
        sound = sound and finding.ok
    if not sound:
        sys.exit(1)
