"""The settings file and the key files of this box."""

import os
import shlex

from ..errors import Misconfigured
from . import layout


def key_files() -> dict[str, str]:
    """Return the key files that exist, by the setting that would name them."""
    return {x: path for x, path in layout.KEY_FILES.items() if os.path.lexists(path)}


def box_environ() -> dict[str, str]:
    """Return the settings of this box's service, for a command run by anyone.

    Key files that the caller cannot read are left out. On another machine the result is
    empty. Raises Misconfigured.
    """
    readable = {x: y for x, y in key_files().items() if os.access(y, os.R_OK)}
    return {**readable, **read_settings()}


def read_settings() -> dict[str, str]:
    """Return the SHIM_ settings in the settings file, as systemd reads them.

    Raises Misconfigured when the file is unreadable or malformed. Source:
    systemd.exec(5), "EnvironmentFile=".
    """
    try:
        with open(layout.SETTINGS, encoding="utf-8") as file:
            lines = [x.strip() for x in file if x.strip()[:1] not in ("", "#", ";")]
        split = [shlex.split(x)[0].partition("=") for x in lines]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{layout.SETTINGS}: {error}", "correct the file") from None
    return {name: value for name, _, value in split if name.startswith("SHIM_")}
