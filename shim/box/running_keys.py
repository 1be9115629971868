"""The keys that the running service has. It reads them when it starts."""

from ..tokens.keys import CREDENTIALS, NO_CREDENTIAL
from .layout import KEY_FILES, SERVICE_UNIT
from .systemd import unit_property


def differ(variable: str) -> bool:
    """Return whether the service has other keys than the key file for `variable`.

    `variable` is one of CREDENTIALS. Raises OSError when the service does not run, or when
    the caller is not root.
    """
    process = f"/proc/{unit_property(SERVICE_UNIT, 'MainPID')}"
    credentials = f"{process}/root/run/credentials/{SERVICE_UNIT}"
    with open(f"{credentials}/{CREDENTIALS[variable]}", "rb") as file:
        used = file.read()
    try:
        with open(KEY_FILES[variable], "rb") as file:
            return file.read() != used
    except FileNotFoundError:
        return used != NO_CREDENTIAL
