"""record-shim keygen."""

import click

from ..box import key_files
from ..tokens.keys import new_key


@click.command()
@click.option(
    "--output", metavar="FILE", help="Create FILE, mode 0600, instead of printing."
)
@click.option(
    "--rotate",
    "rotated",
    metavar="FILE",
    help="Insert the key at the top of an existing key file and keep the old keys.",
)
def keygen(output: str | None, rotated: str | None) -> None:
    """Generate a key and print it as 64 hex digits.

    \b
    Example: record-shim keygen --output /etc/record-shim/jwe-key
    """
    if output is not None and rotated is not None:
        raise click.UsageError("--output creates a file, --rotate changes one: use one")
    if rotated is not None:
        key_files.rotate(rotated)
    elif output is not None:
        key_files.create(output)
    else:
        click.echo(new_key(), nl=False)
    if key_files.is_in_use(rotated or output or ""):
        click.echo(
            "record-shim: links made with the new key do not open yet; run record-shim"
            " restart",
            err=True,
        )
