"""Set a storage box up, bring it up to date, take it out again: all of it or nothing."""

import contextlib
import difflib
import errno
import hashlib
import http.client
import os
import shutil
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import Misconfigured
from ..tokens.keys import API, load_keyrings, new_key
from ..tokens.paths import parse_internal_prefix
from . import files
from . import system as box
from .nginx_config import Directive, Site, cache_directory, find_site, listens_on
from .templates import CACHE_DIR, UNITS, nginx_site, parse_listen, unit

# what install wrote, for `sha256sum -c`: a file that no longer matches was edited
MANIFEST = f"{box.DIRECTORY}/installed"
DEFAULT_SITE = "/etc/nginx/sites-enabled/default"
DEFAULT_SITE_KEPT = f"{box.DIRECTORY}/default-site"

# only where there is no key at all: a key is what makes its format open
_FRESH_KEY = box.KEY_FILES[API]
_SETTINGS_TEXT = """\
# Settings of record-shim: NAME=VALUE, one a line. The README lists the SHIM_ variables.
# Then: systemctl restart record-shim
"""
# what the service's ProtectHome=, PrivateTmp= and InaccessiblePaths= hide from it
_HIDDEN = (
    *("/home", "/root", "/run/user", "/tmp", "/var/tmp"),  # noqa: S108
    *("/srv", "/mnt", "/media", "/var/spool"),
)


def install(
    *,
    records: str,
    server_name: str,
    listen: str,
    cache_time: str | None,
    dry_run: bool,
    force: bool,
) -> Iterator[str]:
    """Write what is missing or out of date, start it, and yield a line for each step.

    A file that was edited since install wrote it is kept, unless `force`. Raises
    Misconfigured when something is in the way; the box is then as it was.
    """
    box.require()
    site = nginx_site(
        records=records,
        listen=listen,
        server_name=server_name,
        internal_prefix=parse_internal_prefix(
            box.settings().get("SHIM_INTERNAL_PREFIX", "")
        ),
        cache_time=cache_time,
    )
    wanted = {f"{box.UNIT_DIRECTORY}/{name}": unit(name, records) for name in UNITS}
    wanted |= {box.SITE: site}
    if not os.path.isdir(records):
        raise Misconfigured(
            f"--records {records!r}: no such directory; make it, or mount it, first"
        )
    _check_environment(records)
    if box.key_files():
        load_keyrings(box.key_files())
    config, _ = box.nginx_config()
    _check_port(config, listen)

    recorded = _recorded()
    changes: dict[str, str] = {}
    backups: set[str] = set()
    for path, text in wanted.items():
        current = _read(path)
        if current == text:
            continue
        if current is not None and recorded.get(path) != _sha256(current):
            if not force:
                yield from _difference(path, current, text)
                yield f"{path}: edited here, kept; --force replaces it and keeps a backup"
                continue
            backups.add(path)
        changes[path] = text
    if not os.path.lexists(box.SETTINGS):
        changes[box.SETTINGS] = _SETTINGS_TEXT

    if dry_run:
        for path, text in changes.items():
            yield from _difference(path, _read(path) or "", text)
        if not box.key_files():
            yield f"{_FRESH_KEY}: a fresh key would be made"
        if _is_default_site_untouched():
            yield f"{DEFAULT_SITE}: would be moved to {DEFAULT_SITE_KEPT}"
        yield "nothing was changed (--dry-run)"
        return
    yield from _carry_out(changes, backups, {**recorded, **_hashes(wanted)})


def uninstall(*, purge: bool) -> Iterator[str]:
    """Stop and take out what install put in, and yield a line for each step.

    An edited file is kept as a backup. Key, settings that were edited and records stay;
    `purge` takes the first two.
    """
    box.require()
    units = [f"{box.UNIT_DIRECTORY}/{name}" for name in UNITS]
    units = [path for path in units if os.path.lexists(path)]
    recorded = _recorded()
    leftovers = list(_leftovers(recorded, purge))
    if not units and not leftovers and not os.path.lexists(box.SITE):
        yield "nothing to take out"
        return
    # the site before the endpoint, so that nobody is sent to one that is gone
    if os.path.lexists(box.SITE):
        yield _take_out(box.SITE, recorded)
    yield from _put_default_site_back()
    box.systemctl("try-reload-or-restart", "nginx.service")
    if units:
        box.systemctl("disable", "--now", *map(os.path.basename, units))
        for path in units:
            yield _take_out(path, recorded)
        box.systemctl("daemon-reload")
    for path in leftovers:
        os.unlink(path)
        yield f"{path}: removed"
    if cache_directory(box.nginx_config()[0]) is None:
        shutil.rmtree(CACHE_DIR, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.rmdir(box.DIRECTORY)
    for path in box.key_files().values():
        yield f"{path}: kept; uninstall --purge removes it"


def forget() -> str:
    """Empty nginx's cache of opened tokens, and return what was done.

    nginx's workers, which keep files open, are replaced. Raises Misconfigured.
    """
    box.require()
    directory = cache_directory(box.nginx_config()[0])
    if directory is None:
        return "nothing to forget: nginx remembers no links (install --cache)"
    forgotten = 0
    for where, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(where, name))
                forgotten += 1
    _reload_nginx()
    return f"links forgotten: {forgotten}"


def _take_out(path: str, recorded: dict[str, str]) -> str:
    if recorded.get(path) == _sha256(_read(path) or ""):
        os.unlink(path)
        return f"{path}: removed"
    backup = _free_name(path)
    os.rename(path, backup)
    return f"{path}: edited here, kept as {backup}"


def _check_environment(records: str) -> None:
    """Raise Misconfigured when the service could not reach its Python and this package."""
    gunicorn = os.path.join(sys.prefix, "bin", "gunicorn")
    if not os.access(gunicorn, os.X_OK):
        raise Misconfigured(
            f"{gunicorn} is missing: install record-shim with pip in a virtual"
            " environment, such as /opt/record-shim"
        )
    for needed in (gunicorn, sys.executable, __file__):
        real = Path(os.path.realpath(needed))
        for hidden in (*_HIDDEN, os.path.realpath(records)):
            if real.is_relative_to(hidden):
                raise Misconfigured(
                    f"{real} is under {hidden}, which the service cannot see:"
                    " install record-shim in a virtual environment elsewhere, such as"
                    " /opt/record-shim"
                )
        for each, right in ((real, "r"), *((x, "x") for x in real.parents)):
            bit = stat.S_IROTH if right == "r" else stat.S_IXOTH
            if not os.stat(each).st_mode & bit:
                raise Misconfigured(
                    f"{each} is closed to the service's user: run chmod o+{right} on"
                    " it, or make the virtual environment with umask 022"
                )


def _check_port(config: Directive, listen: str) -> None:
    """Raise Misconfigured when another program than nginx has the port.

    nginx -t does not find that out (nginx 1.22, ngx_open_listening_sockets).
    """
    address, port = parse_listen(listen)
    for family, every in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104
        if address and (":" in address) != (":" in every):
            continue
        with contextlib.ExitStack() as closing:
            try:
                probe = closing.enter_context(socket.socket(family))
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((address or every, port))
            except OSError as error:
                # a box without IPv6 is for nginx -t to complain about
                if error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                    if address is None:
                        continue
                elif (
                    error.errno == errno.EADDRINUSE
                    and box.state("nginx.service") == "active"
                    and listens_on(config, port)
                ):
                    continue
                raise Misconfigured(
                    f"--listen {listen}: {error.strerror}; `ss -ltnp` shows who"
                    " listens where"
                ) from None


def _carry_out(
    changes: dict[str, str], backups: set[str], hashes: dict[str, str]
) -> Iterator[str]:
    """Make the changes and start what needs it; on any failure take all of it back."""
    quiet = True
    units_changed = any(path.startswith(box.UNIT_DIRECTORY) for path in changes)
    was_active = {x: box.state(x) == "active" for x in (*UNITS, "nginx.service")}
    was_enabled = {x: box.state(x, "UnitFileState") == "enabled" for x in UNITS}
    with contextlib.ExitStack() as undo:
        # undone last, when the files are back
        undo.callback(_as_before, was_active, units_changed)
        if not os.path.isdir(box.DIRECTORY):
            os.mkdir(box.DIRECTORY, 0o755)
            undo.callback(os.rmdir, box.DIRECTORY)
        if not box.key_files():
            quiet = False
            _write(_FRESH_KEY, new_key(), undo, 0o600)
            yield f"{_FRESH_KEY}: a fresh key; give it to the API, or put the API's here"
        for path, text in changes.items():
            quiet = False
            if path in backups:
                backup = _free_name(path)
                _write(backup, _read(path) or "", undo)
                yield f"{path}: the edited one is kept as {backup}"
            _write(path, text, undo)
            hashes[path] = _sha256(text)
            yield f"{path}: written"
        if _is_default_site_untouched():
            quiet = False
            os.rename(DEFAULT_SITE, DEFAULT_SITE_KEPT)
            undo.callback(os.rename, DEFAULT_SITE_KEPT, DEFAULT_SITE)
            yield (
                f"{DEFAULT_SITE}: moved to {DEFAULT_SITE_KEPT}, because it answers"
                " under every name and logs whole links"
            )
        site = _check_site()

        if units_changed:
            box.systemctl("daemon-reload")
        if not all(was_enabled.values()):
            quiet = False
            for each in (x for x in UNITS if not was_enabled[x]):
                undo.callback(box.systemctl, "disable", "--now", each)
            box.systemctl("enable", *UNITS)
            yield "units: enabled"
        if units_changed or not all(was_active[x] for x in UNITS):
            quiet = False
            # a socket is not made anew under its running service
            if units_changed:
                box.systemctl("stop", *reversed(UNITS))
            box.systemctl("start", *UNITS)
            yield "units: started"
        if not quiet or not was_active["nginx.service"]:
            quiet = False
            _reload_nginx()
            yield "nginx: reloaded"
        _wait_for_site(site)
        manifest = "".join(f"{hashes[x]}  {x}\n" for x in sorted(hashes))
        if manifest != _read(MANIFEST):
            _write(MANIFEST, manifest, undo)
        undo.pop_all()
    if quiet:
        yield "nothing to change"


def _as_before(was_active: dict[str, bool], units_changed: bool) -> None:
    box.systemctl("daemon-reload")
    active = [name for name in UNITS if was_active[name]]
    if active and units_changed:
        box.systemctl("stop", *reversed(active))
    if active:
        box.systemctl("start", *active)
    if was_active["nginx.service"]:
        _reload_nginx()
    else:
        box.systemctl("stop", "nginx.service")


def _check_site() -> Site:
    """Return our site; raises Misconfigured unless nginx takes it as it shall be."""
    config, warnings = box.nginx_config()
    site = find_site(config)
    if site is None:
        raise Misconfigured(
            f"nginx does not read {box.SITE}: its nginx.conf lacks"
            " `include /etc/nginx/conf.d/*.conf;` in the http block"
        )
    if f'conflicting server name "{site.server_name}"' in warnings:
        raise Misconfigured(
            f"another site of nginx has the name {site.server_name} on the same"
            f" address: `nginx -T | grep -n {site.server_name}` finds it; take it"
            " out, or choose another --server-name or --listen"
        )
    return site


def _reload_nginx() -> None:
    """Reload nginx, or start it, and wait until its old workers take no more requests."""
    workers = box.nginx_workers()
    box.systemctl("reload-or-restart", "nginx.service")
    _wait(lambda: not workers & box.nginx_workers(), "nginx does not reload")


def _wait_for_site(site: Site) -> None:
    """Wait until nginx answers as our site does."""

    def answers() -> bool:
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            box.asked(site, "/") as answer,
        ):
            return answer.status == 404 and bool(answer.getheader("Referrer-Policy"))
        return False

    _wait(answers, "nginx does not serve the site")


def _wait(condition: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            raise Misconfigured(
                f"{complaint}: journalctl -u nginx -n 20 and /var/log/nginx/error.log"
                " say why"
            )
        time.sleep(0.05)


def _is_default_site_untouched() -> bool:
    """Return whether Debian's default site is on, and just as Debian wrote it."""
    available = "/etc/nginx/sites-available/default"
    if not os.path.islink(DEFAULT_SITE) or os.path.realpath(DEFAULT_SITE) != available:
        return False
    md5 = hashlib.md5((_read(available) or "").encode(), usedforsecurity=False)
    conffiles = box.run("dpkg-query", "-W", "-f=${Conffiles}\n", "nginx-common").stdout
    return f" {available} {md5.hexdigest()}" in conffiles


def _put_default_site_back() -> Iterator[str]:
    if os.path.lexists(DEFAULT_SITE_KEPT):
        if os.path.lexists(DEFAULT_SITE):
            os.unlink(DEFAULT_SITE_KEPT)
        else:
            os.rename(DEFAULT_SITE_KEPT, DEFAULT_SITE)
            yield f"{DEFAULT_SITE}: put back"


def _leftovers(recorded: dict[str, str], purge: bool) -> Iterator[str]:
    """Yield what else of ours is to go, the manifest last."""
    settings = _read(box.SETTINGS)
    if settings is not None and (
        purge or recorded.get(box.SETTINGS) == _sha256(settings)
    ):
        yield box.SETTINGS
    if purge:
        yield from box.key_files().values()
    if os.path.lexists(MANIFEST):
        yield MANIFEST


def _recorded() -> dict[str, str]:
    lines = (_read(MANIFEST) or "").splitlines()
    return {path: digest for digest, _, path in (x.partition("  ") for x in lines)}


def _hashes(texts: dict[str, str]) -> dict[str, str]:
    """Return the hashes of those files that are as they shall be already."""
    return {x: _sha256(text) for x, text in texts.items() if _read(x) == text}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Misconfigured(f"{path}: {error.strerror}") from None


def _difference(path: str, old: str, new: str) -> Iterator[str]:
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), path, f"{path} (record-shim)", lineterm=""
    )
    # what is not UTF-8 in an edited file could not be printed
    return (x.encode("utf-8", "replace").decode() for x in lines)


def _free_name(path: str) -> str:
    names = (f"{path}.bak{number or ''}" for number in range(1_000_000))
    return next(x for x in names if not os.path.lexists(x))


def _write(path: str, text: str, undo: contextlib.ExitStack, mode: int = 0o644) -> None:
    """Replace the file in one step; `undo` puts the old one back, or takes it away."""
    old = _read(path)
    if old is not None:
        mode = stat.S_IMODE(os.stat(path).st_mode)
    try:
        _replace(path, text, mode)
    except OSError as error:
        raise Misconfigured(f"{path}: {error.strerror}; nothing was changed") from None
    if old is None:
        undo.callback(os.unlink, path)
    else:
        undo.callback(_replace, path, old, mode)


def _replace(path: str, text: str, mode: int) -> None:
    # left by one that was killed
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{path}.new")
    files.replace(path, text.encode("utf-8", "surrogateescape"), mode)
