"""The options of the last install, which the next one uses again."""

import configparser
from collections.abc import Mapping
from typing import NamedTuple

from ..errors import Misconfigured
from . import files
from .layout import INSTALL_CONF, SITE
from .nginx_config import Directive, find_site
from .templates import CACHE_TIME, canonical_name, default_listen

_HEAD = """\
# The options of the last record-shim install, which the next one uses again: records,
# server-name, listen, cache-time (the cached form), certificate and certificate-key.
[install]
"""


class Options(NamedTuple):
    """What the operator chooses.

    `listen` is None for nginx's usual port. `cache_time`, such as 10m, asks for the
    cached form, and `certificate` for TLS.
    """

    records: str
    server_name: str
    listen: str | None = None
    cache_time: str | None = None
    certificate: str | None = None
    certificate_key: str | None = None


# some options, by the names of their fields; None returns one to its default
Given = Mapping[str, str | None]
# as a cache_time: the cached form, with the time of the last install
KEEP_CACHE_TIME = ""


def remembered(config: Directive | None) -> Given:
    """Return the options of the last install, or nothing on a new box.

    Version 0.1.0 did not write them down: its options are those of the site in `config`.
    A certificate that the operator or certbot added to the site is an option, too. Raises
    Misconfigured when INSTALL_CONF is not as install writes it.
    """
    installed = _of_site(config) if config and files.look(SITE) else {}
    stored = _stored()
    if stored is None:
        return installed
    return {x: installed.get(x) for x in ("certificate", "certificate_key")} | stored


def is_current(options: Options) -> bool:
    """Return whether INSTALL_CONF has these options; raises Misconfigured."""
    stored = _stored()
    return stored is not None and stored == _set(options)


def with_given(old: Given, given: Given) -> Options:
    """Return the options of the last install, `old`, changed by those that are `given`.

    Raises Misconfigured when a required one is in neither.
    """
    values = {name: given.get(name, old.get(name)) for name in Options._fields}
    records, server_name = values["records"], values["server_name"]
    if not records or not server_name:
        missing = "--server-name" if records else "--records"
        raise Misconfigured(
            f"{missing} is missing",
            "run record-shim install --records DIR --server-name NAME",
        )
    listen, certificate = values["listen"], values["certificate"]
    cache_time = values["cache_time"]
    if cache_time == KEEP_CACHE_TIME:
        cache_time = old.get("cache_time") or CACHE_TIME
    return Options(
        records=records.rstrip("/") or "/",
        server_name=canonical_name(server_name),
        listen=None if listen == default_listen(certificate) else listen,
        cache_time=cache_time,
        certificate=certificate,
        certificate_key=values["certificate_key"],
    )


def text_of(options: Options) -> str:
    """Return the content of INSTALL_CONF."""
    lines = [f"{x.replace('_', '-')} = {y}\n" for x, y in _set(options).items()]
    return _HEAD + "".join(lines)


def changes(old: Given, new: Options) -> list[str]:
    """Return the options that differ from the last install, as in "listen: 80 → 8080"."""
    if not old:
        return []
    return [
        f"{name.replace('_', '-')}: {_shown(old, name)} → {_shown(new._asdict(), name)}"
        for name, value in new._asdict().items()
        if _shown(new._asdict(), name) != _shown(old, name)
    ]


def _stored() -> dict[str, str] | None:
    """Return the options in INSTALL_CONF, None if it does not exist."""
    text = files.read(INSTALL_CONF)
    if text is None:
        return None
    parser = configparser.ConfigParser(
        interpolation=None, delimiters=("=",), comment_prefixes=("#",)
    )
    try:
        parser.read_string(text)
        stored = {x.replace("-", "_"): y for x, y in parser.items("install") if y}
    except configparser.Error as error:
        problem = str(error).splitlines()[0]
    else:
        unknown = [x for x in stored if x not in Options._fields]
        if not unknown:
            return stored
        problem = f"unknown option {unknown[0].replace('_', '-')}"
    raise Misconfigured(f"{INSTALL_CONF}: {problem}", "correct or delete the file")


def _set(options: Options) -> dict[str, str]:
    """Return the options that do not have their default value."""
    return {x: y for x, y in options._asdict().items() if y is not None}


def _shown(options: Given, name: str) -> str:
    value = options.get(name)
    if name == "listen":
        return value or default_listen(options.get("certificate"))
    return value or "none"


def _of_site(config: Directive) -> Given:
    site = find_site(config)
    if site is None:
        return {}
    values = {x: y for x, y in site._asdict().items() if x in Options._fields}
    return values | {"listen": str(site.port) if site.tls else site.listen}
