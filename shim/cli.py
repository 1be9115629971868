"""The command record-shim: keys, links, and the configuration of nginx and systemd."""

import ipaddress
import os
import re
import sys
from collections.abc import Callable
from importlib.resources import files
from typing import Any
from urllib.parse import unquote

import click
from jinja2 import Environment, StrictUndefined

from . import __version__, ecb
from .app import DEFAULT_INTERNAL_PREFIX
from .errors import Misconfigured, Refused
from .keys import Keyring, key_file, load_keyring, new_key, rotate
from .paths import parse_internal_prefix, parse_path_prefix, record_name

UNITS = ("record-shim.socket", "record-shim.service")

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?", re.IGNORECASE)
_QUOTABLE_PATH = re.compile(r'/[^"\\$\x00-\x1f\x7f]*')
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9._~/@+-]+")

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
    target = re.split(r"[?#]", token_or_link, maxsplit=1)[0]
    token = unquote(target.rpartition("/")[2])
    path = ecb.opener(_load(key_file))(token)
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
@click.option(
    "--listen",
    default="80",
    show_default=True,
    metavar="ADDR:PORT",
    help="Where nginx listens; without ADDR, on IPv4 and IPv6.",
)
@click.option(
    "--server-name",
    default="_",
    metavar="NAME",
    help="The host name in the links; leave it out where this is the only site.",
)
@click.option(
    "--socket",
    default="/run/record-shim/record-shim.sock",
    show_default=True,
    metavar="PATH",
    help="The endpoint's unix socket.",
)
@click.option(
    "--log-dir",
    default="/var/log/nginx",
    show_default=True,
    metavar="DIR",
    help="Where the audit log goes.",
)
def nginx(
    records: str, listen: str, server_name: str, socket: str, log_dir: str
) -> None:
    """Print the nginx site, for /etc/nginx/conf.d/.

    The internal prefix is SHIM_INTERNAL_PREFIX, as for the endpoint.

    \b
    Example: record-shim render nginx --records /srv/records
    """
    click.echo(
        _render(
            "nginx/record-shim.conf",
            records=_check_path("--records", records, _QUOTABLE_PATH).rstrip("/"),
            listen=_check_listen(listen),
            server_name=_check_server_name(server_name),
            socket=_check_path("--socket", socket, _PLAIN_PATH),
            log_dir=_check_path("--log-dir", log_dir, _PLAIN_PATH).rstrip("/"),
            internal_prefix=parse_internal_prefix(
                os.environ.get("SHIM_INTERNAL_PREFIX") or DEFAULT_INTERNAL_PREFIX
            ),
            token_max=ecb.TOKEN_MAX,
        ),
        nl=False,
    )


@render.command()
@click.argument("unit", required=False, type=click.Choice(UNITS))
def systemd(unit: str | None) -> None:
    """Print the units, or the one named, for /etc/systemd/system/.

    \b
    Example: record-shim render systemd record-shim.service
    """
    venv = _check_path("the virtual environment", sys.prefix, _PLAIN_PATH)
    texts = {name: _render(f"systemd/{name}", venv=venv) for name in UNITS}
    if unit is not None:
        click.echo(texts[unit], nl=False)
        return
    # as `systemctl cat` shows several
    click.echo(
        "\n".join(f"# /etc/systemd/system/{name}\n{texts[name]}" for name in UNITS),
        nl=False,
    )


def _render(name: str, **values: object) -> str:
    template = files("shim").joinpath(name).read_text(encoding="utf-8")
    # the text is configuration, not HTML: what goes in has been checked, not escaped
    environment = Environment(  # noqa: S701
        undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.from_string(template).render(values)


def _check_path(option: str, path: str, allowed: re.Pattern[str]) -> str:
    if not allowed.fullmatch(path):
        raise Misconfigured(
            f"{option} {path!r}: must be an absolute path without characters that"
            " are special to nginx or systemd"
        )
    return path


def _check_listen(listen: str) -> str:
    address, _, port = listen.rpartition(":")
    try:
        if address.startswith("["):
            ipaddress.IPv6Address(address.removeprefix("[").removesuffix("]"))
        elif address or listen.startswith(":"):
            ipaddress.IPv4Address(address)
        valid = re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) < 65536
        valid = valid and address.startswith("[") == address.endswith("]")
    except ValueError:
        valid = False
    if not valid:
        raise Misconfigured(
            f"--listen {listen!r}: must be PORT or ADDR:PORT, such as 127.0.0.1:8080"
        )
    return listen


def _check_server_name(name: str) -> str:
    if name != "_" and not _HOST_NAME.fullmatch(name):
        raise Misconfigured(
            f"--server-name {name!r}: must be a host name, such as storage.example.com"
        )
    return name
