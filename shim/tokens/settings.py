"""The settings SHIM_INTERNAL_PREFIX, SHIM_PATH_PREFIX and SHIM_DISPOSITION."""

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from ..errors import Misconfigured, Refused
from .paths import check_path

_INTERNAL_PREFIX = re.compile(r"/(?:[A-Za-z0-9_~-][A-Za-z0-9._~-]*/)+")


class Settings(NamedTuple):
    """How paths become records, and what a browser does with them."""

    internal_prefix: str = "/_records/"
    path_prefix: str = ""
    disposition: str = "attachment"


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Return the settings in `environ`. An empty value means the default.

    Raises Misconfigured when a value is invalid.
    """
    given = {
        name: environ[f"SHIM_{name.upper()}"]
        for name in Settings._fields
        if environ.get(f"SHIM_{name.upper()}")
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
