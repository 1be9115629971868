"""Key files and the keyring: several keys, newest first; the first seals, all open."""

import base64
import binascii
import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Mapping
from typing import NamedTuple

from ..box import files
from ..errors import Misconfigured

KEY_BYTES = 32
API, JWE = "SHIM_KEY_FILE", "SHIM_JWE_KEY_FILE"
# the systemd credential that stands in for each
CREDENTIALS = {API: "key", JWE: "jwe-key"}
# what the unit's SetCredential= gives when there is no file for LoadCredential=
NO_CREDENTIAL = b"none"

Keyring = tuple[bytes, ...]

_HEX = re.compile(rb"[0-9A-Fa-f]{64}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{43}=?")
_BASE64URL = re.compile(rb"[A-Za-z0-9_-]{43}=?")
_TEXT = re.compile(rb"[!-~][ -~]{30}[!-~]")
# of as many bytes as a raw key: a comment, or a key with a character missing
_LINE = re.compile(rb"[ -~]{31}\n")
_MOST_BYTES = 1 << 20
_REMEDIES = {
    errno.ENOENT: "; correct the path, or make one with record-shim keygen --output",
    errno.EACCES: "; run this as root, or with sudo",
}


class Keyrings(NamedTuple):
    """The keys of either token format; a format without keys does not open."""

    api: Keyring
    jwe: Keyring

    def __str__(self) -> str:
        """Say which links open, without the keys."""
        return (
            f"keys: {len(self.api)} for links of the API's format,"
            f" {len(self.jwe)} for sealed links"
        )


def key_file(environ: Mapping[str, str], variable: str) -> str | None:
    """Return the path of the key file that `variable`, one of CREDENTIALS, names.

    Without it, it is the systemd credential, if there is one. Source: systemd.exec(5),
    "Credentials".
    """
    if path := environ.get(variable):
        return path
    if directory := environ.get("CREDENTIALS_DIRECTORY"):
        path = os.path.join(directory, CREDENTIALS[variable])
        if os.path.exists(path) and not _is_no_credential(path):
            return path
    return None


def load_keyrings(environ: Mapping[str, str]) -> Keyrings:
    """Return the keys of the formats for which `environ` names a key file.

    Raises Misconfigured when it names none, when a key file is wrong, or when a key is
    in both.
    """
    paths = {variable: key_file(environ, variable) for variable in CREDENTIALS}
    if not any(paths.values()) and "CREDENTIALS_DIRECTORY" in environ:
        raise Misconfigured(
            "no key: neither of the key files that the unit loads is there; make one with"
            " record-shim keygen --output, and restart the service"
        )
    if not any(paths.values()):
        raise Misconfigured(
            f"no key file: set {API} to the path of one, {JWE} for sealed links, or give"
            " --key-file; on a storage box, run this as root"
        )
    keyrings = Keyrings(*(load_keyring(x) if x else () for x in paths.values()))
    api, jwe = (x and os.path.realpath(x) for x in paths.values())
    if api and api == jwe:
        raise Misconfigured(
            f"key file {paths[JWE]!r}: it is that of the other format; links of the"
            " API's format and sealed ones need keys of their own"
        )
    # what one format gives away about a key must not touch the other
    if set(keyrings.api) & set(keyrings.jwe):
        raise Misconfigured(
            f"key file {paths[JWE]!r}: it shares a key with {paths[API]!r}, but the API's"
            " format and sealed links need keys of their own; make one with"
            " record-shim keygen"
        )
    return keyrings


def _is_no_credential(path: str) -> bool:
    # whatever else is wrong with the file is for load_keyring to say
    with contextlib.suppress(OSError, Misconfigured):
        return _read(path)[0] == NO_CREDENTIAL
    return False


def load_keyring(path: str) -> Keyring:
    """Return the keys in the file at `path`, each 32 bytes, in the file's order.

    Raises Misconfigured, which names the file and line and never the key.
    """
    try:
        data, mode = _read(path)
    except OSError as error:
        raise Misconfigured(
            f"key file {path!r}: {error.strerror}{_REMEDIES.get(error.errno or 0, '')}"
        ) from None
    if mode & stat.S_IRWXO:
        raise Misconfigured(
            f"key file {path!r}: open to every user; run chmod o= on it"
        )
    if len(data) == KEY_BYTES and not _LINE.fullmatch(data):
        return (data,)
    keyring = tuple(
        _parse_line(line, f"key file {path!r}, line {number}")
        for number, line in enumerate(data.splitlines(), 1)
        if line.strip() and not line.startswith(b"#")
    )
    if not keyring:
        raise Misconfigured(
            f"key file {path!r}: no key in it; make one with record-shim keygen"
        )
    return keyring


def _read(path: str) -> tuple[bytes, int]:
    """Return content and mode of a key file; raises OSError and Misconfigured."""
    # a FIFO, a directory or a device under this name must not be waited for or read
    with open(path, "rb", opener=_open_at_once) as file:
        mode = os.fstat(file.fileno()).st_mode
        data = file.read(_MOST_BYTES + 1) if stat.S_ISREG(mode) else b""
    if not stat.S_ISREG(mode):
        raise Misconfigured(f"key file {path!r}: not a regular file")
    if len(data) > _MOST_BYTES:
        raise Misconfigured(f"key file {path!r}: too large for one")
    return data, mode


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def new_key() -> str:
    """Return a new random key as a line of a key file."""
    return secrets.token_hex(KEY_BYTES) + "\n"


def rotate(path: str) -> None:
    """Put a new key first into the key file at `path`; what was in it stays behind it.

    The file is replaced in one step and keeps its owner and mode. Raises Misconfigured,
    and leaves the file as it was, when it is no sound key file or cannot be replaced.
    """
    keyring = load_keyring(path)
    # the file itself, should `path` be a link to it
    path = os.path.realpath(path)
    try:
        with open(path, "rb") as file:
            old = file.read()
            status = os.fstat(file.fileno())
        if len(old) == KEY_BYTES:
            old = keyring[0].hex().encode() + b"\n"
        new = new_key().encode() + old
        files.replace(
            path, new, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
        )
    except OSError as error:
        raise Misconfigured(
            f"key file {path!r}: {error.strerror}: {error.filename or path + '.new'};"
            " the file is as it was"
        ) from None


def _parse_line(line: bytes, where: str) -> bytes:
    if _HEX.fullmatch(line):
        return binascii.unhexlify(line)
    if _BASE64.fullmatch(line) or _BASE64URL.fullmatch(line):
        urlsafe = line.rstrip(b"=").translate(bytes.maketrans(b"+/", b"-_"))
        key = base64.urlsafe_b64decode(urlsafe + b"=")
        if base64.urlsafe_b64encode(key).rstrip(b"=") == urlsafe:
            return key
    if _TEXT.fullmatch(line):
        return line
    raise Misconfigured(
        f"{where}: not a key, but {len(line)} characters; a key is 64 hex digits, base64"
        " or base64url of 32 bytes, or exactly 32 ASCII characters"
    )
