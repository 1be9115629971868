"""The command record-shim: one module for each group of commands."""

import io
import sys
from importlib.metadata import PackageNotFoundError, version

import click

from ..errors import Misconfigured, Refused
from . import box, keys, links, render


def main(args: list[str] | None = None) -> None:
    """Run the command. An error is one line on stderr and exit status 1 (2 for usage)."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        # escape characters that the terminal cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        commands.main(args, prog_name="record-shim")
    except (Misconfigured, Refused) as error:
        click.echo(f"record-shim: {error}", err=True)
    except OSError as error:
        # without a file name it is the output, such as a full disk behind a redirection
        click.echo(
            f"record-shim: {error.filename or 'output'}: {error.strerror}", err=True
        )
    else:
        return
    sys.exit(1)


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    try:
        click.echo(version("record-shim"))
    except PackageNotFoundError:
        raise Misconfigured(
            "the version is unknown: the package's metadata is missing",
            "install record-shim again with pip",
        ) from None
    context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def commands() -> None:
    """Serve call recordings through encrypted links.

    \b
    Example: record-shim check
    """


for each in (
    keys.keygen,
    links.link,
    links.open_,
    render.render,
    box.install,
    box.uninstall,
    box.check,
    box.restart,
    box.stop,
    box.start,
    box.forget,
):
    commands.add_command(each)
