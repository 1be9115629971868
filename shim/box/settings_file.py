"""The settings file of this box, and what a command takes from it."""

import os
import shlex

from ..errors import Misconfigured
from . import key_files, layout


def box_environ() -> dict[str, str]:
    """Return the settings of this box's service, for a command run by anyone.

    Key files that the caller cannot read are left out. On another machine the result is
    empty. Raises Misconfigured.
    """
    existing = key_files.existing()
    readable = {x: y for x, y in existing.items() if os.access(y, os.R_OK)}
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
    except OSError as error:
        raise Misconfigured(f"{layout.SETTINGS}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Misconfigured(
            f"{layout.SETTINGS}: not UTF-8", "correct the file"
        ) from None
    except ValueError as error:
        raise Misconfigured(f"{layout.SETTINGS}: {error}", "correct the file") from None
    return {name: value for name, _, value in split if name.startswith("SHIM_")}
