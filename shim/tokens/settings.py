"""The settings SHIM_INTERNAL_PREFIX, SHIM_PATH_PREFIX and SHIM_DISPOSITION."""

import difflib
import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from ..errors import Misconfigured, Refused
from .keys import CREDENTIALS
from .paths import check_path

PREFIX = "SHIM_"

_INTERNAL_PREFIX = re.compile(r"/(?:[A-Za-z0-9_~-][A-Za-z0-9._~-]*/)+")


class Settings(NamedTuple):
    """How paths become records, and what a browser does with them."""

    internal_prefix: str = "/_records/"
    path_prefix: str = ""
    disposition: str = "attachment"


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Return the settings in `environ`. An empty value means the default.

    Raises Misconfigured when a value is invalid, or when a name starts with SHIM_, in
    whatever case, and is not that of a setting.
    """
    check_names(environ)
    given = {
        name: environ[_variable(name)]
        for name in Settings._fields
        if environ.get(_variable(name))
    }
    settings = Settings(**given)
    if not _INTERNAL_PREFIX.fullmatch(settings.internal_prefix):
        raise Misconfigured(
            f"SHIM_INTERNAL_PREFIX {settings.internal_prefix!r}: not the name of an nginx"
            " location",
            "use a path that starts and ends with a slash and contains only letters,"
            " digits, '.', '_', '~' and '-', such as /_records/",
        )
    if settings.path_prefix:
        try:
            check_path(os.fsencode(f"{settings.path_prefix}/record"))
        except Refused as refused:
            raise Misconfigured(
                f"SHIM_PATH_PREFIX {settings.path_prefix!r}: {refused}",
                "use a path such as /var/spool/records",
            ) from None
    if settings.disposition not in ("attachment", "inline"):
        raise Misconfigured(
            f"SHIM_DISPOSITION {settings.disposition!r}: unknown value",
            "use attachment or inline",
        )
    return settings


def check_names(environ: Mapping[str, str]) -> None:
    """Raise Misconfigured when `environ` contains an unknown name that starts with SHIM_."""
    known = [*CREDENTIALS, *map(_variable, Settings._fields)]
    for name in environ:
        if name.upper().startswith(PREFIX) and name not in known:
            nearest = difflib.get_close_matches(name.upper(), known, n=1)
            raise Misconfigured(
                f"{name}: unknown setting",
                f"did you mean {nearest[0]}?"
                if nearest
                else f"the settings are {', '.join(known)}",
            )


def _variable(field: str) -> str:
    return f"{PREFIX}{field.upper()}"
