"""The commands for root on a box: record-shim install, check, restart, stop and so on."""

import json
import sys
from collections.abc import Iterable

import click

from ..box.check import check_box
from ..box.forget import forget_links
from ..box.install import install_box
from ..box.install_conf import KEEP_CACHE_TIME
from ..box.layout import KEY_FILES, SETTINGS
from ..box.restart import restart_service
from ..box.results import Action, Finding, Step
from ..box.stopping import start_serving, stop_serving
from ..box.uninstall import uninstall_box
from .options import (
    cache_time_option,
    certificate_key_option,
    certificate_option,
    link_or_stdin,
    listen_option,
    require_both,
)

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON."
)


@click.command()
@click.option("--records", metavar="DIR", help="The records directory.")
@click.option("--server-name", metavar="NAME", help="The host name in the links.")
@listen_option
@click.option(
    "--cache/--no-cache",
    default=None,
    help="Use the cached form: nginx keeps opened tokens in memory.",
)
@cache_time_option
@certificate_option
@certificate_key_option
@click.option("--no-certificate", is_flag=True, help="Turn TLS off.")
@click.option("--dry-run", is_flag=True, help="Show what would change; change nothing.")
@click.option(
    "--force", is_flag=True, help="Replace edited files too; keep them as FILE.bak."
)
@json_option
def install(
    records: str | None,
    server_name: str | None,
    listen: str | None,
    cache: bool | None,
    cache_time: str | None,
    certificate: str | None,
    certificate_key: str | None,
    no_certificate: bool,
    dry_run: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Set up this box, or bring it up to date. Requires root.

    Writes a key, the systemd units and the nginx site, starts them, and ends with
    record-shim check. Options that you leave out are those of the last time. It does
    not change edited files unless you add --force.

    \b
    Example: record-shim install --records /srv/records --server-name storage.example.com
    """
    require_both(certificate, certificate_key)
    if no_certificate and certificate is not None:
        raise click.UsageError("--certificate and --no-certificate: use one")
    if cache is False and cache_time is not None:
        raise click.UsageError("--cache-time requires --cache")
    options: dict[str, str | None] = {
        "records": records,
        "server_name": server_name,
        "listen": listen,
        "cache_time": cache_time or (KEEP_CACHE_TIME if cache else None),
        "certificate": certificate,
        "certificate_key": certificate_key,
    }
    given = {name: value for name, value in options.items() if value is not None}
    turned_off = (["cache_time"] if cache is False else []) + (
        ["certificate", "certificate_key"] if no_certificate else []
    )
    steps = install_box(given | dict.fromkeys(turned_off), dry_run=dry_run, force=force)
    if not as_json:
        _print_steps(steps, dry_run)
    findings = [] if dry_run else _report(check_box(may_be_empty=True), as_json)
    if as_json:
        _print_json(steps=_json_steps(steps), findings=_json_findings(findings))
    if any(x.action is Action.OUTDATED for x in steps):
        sys.exit(1)
    _exit(findings)


@click.command()
@click.option(
    "--purge",
    is_flag=True,
    help="Delete all keys and the settings too. No link will ever open again.",
)
@json_option
def uninstall(purge: bool, as_json: bool) -> None:
    """Remove what install set up. Keys and records stay. Requires root.

    \b
    Example: record-shim uninstall
    """
    if purge and sys.stdin.isatty():
        click.confirm("Delete all keys? No link will ever open again", abort=True)
    steps = uninstall_box(purge=purge)
    if as_json:
        _print_json(steps=_json_steps(steps))
        return
    for step in steps:
        click.echo(_worded(step))
    if not steps:
        click.echo("nothing to remove")


@click.command()
def forget() -> None:
    """Empty nginx's cache of opened tokens (install --cache). Requires root.

    Run it after you remove a key or delete a record.

    \b
    Example: record-shim forget
    """
    forgotten = forget_links()
    if forgotten is None:
        click.echo("the cache is not in use (install --cache)")
    else:
        click.echo(f"removed from the cache: {forgotten} tokens")


@click.command()
def restart() -> None:
    """Restart the endpoint, if its keys and settings are valid. Requires root.

    Run it after you change a key file or a setting. No download is interrupted, and new
    requests wait. If something is wrong, the running service goes on as before.

    \b
    Example: record-shim restart
    """
    for step in restart_service():
        click.echo(_worded(step))


@click.command()
def stop() -> None:
    """Stop serving at once: links return 503, running downloads end. Requires root.

    It lasts until record-shim start, also when nginx or the box is restarted. Other sites
    of the same nginx go on serving.

    \b
    Example: record-shim stop
    """
    steps = stop_serving()
    for step in steps:
        click.echo(_worded(step))
    if not _reloaded(steps):
        click.echo("nginx is not running; when it is started, this still applies:")
    click.echo("links return 503 until you run record-shim start")


@click.command()
def start() -> None:
    """Serve links again after record-shim stop. Requires root.

    \b
    Example: record-shim start
    """
    steps = start_serving()
    for step in steps:
        click.echo(_worded(step))
    if not any(step.action is Action.REMOVED for step in steps):
        click.echo("record-shim was not stopped")
    if not _reloaded(steps):
        click.echo("nginx is not running; run systemctl start nginx")


def _reloaded(steps: Iterable[Step]) -> bool:
    return any(step.action is Action.RELOADED for step in steps)


@click.command()
@click.option(
    "--path", metavar="RECORD", help="Download this record instead of the newest."
)
@click.option(
    "--url",
    metavar="LINK",
    help="Find out why this link does not work; - reads it from standard input.",
)
@json_option
def check(path: str | None, url: str | None, as_json: bool) -> None:
    """Diagnose why links do not work. Requires root.

    The last check downloads a record through nginx. The exit status is 0 if
    nothing is wrong, 1 if anything is.

    \b
    Example: record-shim check --path /300/a.mp3
    """
    if path is not None and url is not None:
        raise click.UsageError("--path and --url both name a record: use one")
    findings = _report(
        check_box(path, None if url is None else link_or_stdin(url)), as_json
    )
    if as_json:
        sound = all(x.ok for x in findings)
        _print_json(sound=sound, findings=_json_findings(findings))
    _exit(findings)


def _report(found: Iterable[Finding], as_json: bool) -> list[Finding]:
    """Return the findings; unless they are for JSON, print each as soon as it is found."""
    findings = []
    for finding in found:
        findings.append(finding)
        if not as_json:
            remedy = f"; {finding.remedy}" if finding.remedy else ""
            mark = "✗" if not finding.ok else "!" if finding.remedy else "✓"
            click.echo(f"{mark} {finding.detail}{remedy}")
    return findings


def _exit(findings: Iterable[Finding]) -> None:
    if not all(x.ok for x in findings):
        sys.exit(1)


def _print_steps(steps: list[Step], dry_run: bool) -> None:
    for step in steps:
        kept = step.action in (Action.KEPT, Action.OUTDATED)
        if kept or (dry_run and step.action is Action.WRITTEN):
            click.echo(step.detail)
        if not dry_run or kept:
            click.echo(_worded(step))
        elif step.action is Action.CREATED:
            click.echo(f"{step.path}: a new key would be created")
        elif step.action is Action.MOVED:
            click.echo(f"{step.path}: would be moved to {step.detail}")
        elif step.action is Action.BACKED_UP:
            click.echo(f"{step.path}: edited, so it would be kept as {step.detail}")
        elif step.action is Action.CHANGED:
            click.echo(step.detail)
    if dry_run:
        click.echo("nothing was changed (--dry-run)")
    elif not steps:
        click.echo("nothing to change")
    elif all(x.action in (Action.KEPT, Action.OUTDATED) for x in steps):
        click.echo("nothing was changed")


def _worded(step: Step) -> str:
    if step.action is Action.CHANGED:
        return step.detail
    if step.action is Action.CREATED:
        what = "created with a new key; give it to the PBX, or replace it with the PBX's key"
    elif step.action is Action.BACKED_UP:
        what = f"edited, so it was kept as {step.detail}"
    elif step.action is Action.OUTDATED:
        what = (
            "edited, so it was not brought up to date; --force replaces it and keeps a"
            " backup"
        )
    elif step.action is Action.KEPT and step.detail:
        what = "edited, so it was not changed; --force replaces it and keeps a backup"
    elif step.action is Action.KEPT and step.path in (*KEY_FILES.values(), SETTINGS):
        what = "kept; uninstall --purge removes it"
    elif step.action is Action.KEPT:
        what = "kept, because install did not create it or it contains files of yours"
    elif step.action is Action.MOVED:
        what = (
            f"moved to {step.detail}, because it answers for every host name and logs whole"
            " links"
        )
    elif step.action is Action.RESTORED:
        what = "restored; it logs whole links that still arrive"
    elif step.action is Action.ROLLED_BACK:
        what = f"rolled back, because an earlier {step.detail} was interrupted"
    else:
        what = step.action.value
    return f"{step.path}: {what}"


def _json_steps(steps: Iterable[Step]) -> list[dict[str, str]]:
    return [{**x._asdict(), "action": x.action.value} for x in steps]


def _json_findings(findings: Iterable[Finding]) -> list[dict[str, str | bool]]:
    return [x._asdict() for x in findings]


def _print_json(
    **members: bool | list[dict[str, str]] | list[dict[str, str | bool]],
) -> None:
    click.echo(json.dumps(members, indent=2, ensure_ascii=False))
