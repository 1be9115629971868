"""record-shim render: the configuration of nginx and systemd."""

import os

import click

from ..box.layout import CACHE_DIR, LOG_DIR, SOCKET, UNIT_FILES, UNITS
from ..box.nginx import nginx_version
from ..box.templates import OLDEST_NGINX, nginx_site, unit
from ..tokens.settings import load_settings
from .options import (
    cache_option,
    cache_time_of,
    cache_time_option,
    certificate_key_option,
    certificate_option,
    listen_option,
    require_both,
)


@click.group()
def render() -> None:
    """Print the configuration of nginx or systemd.

    \b
    Example: record-shim render nginx --records /srv/records
    """


@render.command()
@click.option("--records", required=True, metavar="DIR", help="The records directory.")
@listen_option
@click.option(
    "--server-name",
    default="_",
    metavar="NAME",
    help="The host name in the links. Omit it if this is nginx's only site.",
)
@certificate_option
@certificate_key_option
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
    help="The directory of the audit log.",
)
@cache_option
@cache_time_option
@click.option(
    "--cache-dir",
    default=CACHE_DIR,
    show_default=True,
    metavar="DIR",
    help="Where nginx keeps opened tokens. nginx creates it.",
)
def nginx(
    records: str,
    listen: str | None,
    server_name: str,
    certificate: str | None,
    certificate_key: str | None,
    socket: str,
    log_dir: str,
    cache: bool,
    cache_time: str | None,
    cache_dir: str,
) -> None:
    """Print the nginx site, for /etc/nginx/conf.d/.

    The internal prefix comes from SHIM_INTERNAL_PREFIX, as in the endpoint.

    \b
    Example: record-shim render nginx --records /srv/records
    """
    require_both(certificate, certificate_key)
    site = nginx_site(
        records=records,
        listen=listen,
        server_name=server_name,
        certificate=certificate,
        certificate_key=certificate_key,
        # nginx need not be installed here, unless its version matters
        nginx_version=nginx_version() if certificate else OLDEST_NGINX,
        internal_prefix=load_settings(os.environ).internal_prefix,
        socket=socket,
        log_dir=log_dir,
        cache_time=cache_time_of(cache, cache_time),
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
    help="The records directory, which is hidden from the service.",
)
def systemd(name: str | None, records: str) -> None:
    """Print all units or the given one, for /etc/systemd/system/.

    \b
    Example: record-shim render systemd record-shim.service
    """
    texts = {each: unit(each, records) for each in UNITS}
    if name is not None:
        click.echo(texts[name], nl=False)
        return
    # like `systemctl cat` with several units
    click.echo(
        "\n".join(f"# {UNIT_FILES[each]}\n{texts[each]}" for each in UNITS), nl=False
    )
