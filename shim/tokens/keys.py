"""Key files and keyrings. Keys are listed newest first: the first seals, all of them open."""

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

from ..errors import Misconfigured

KEY_BYTES = 32
# the settings that name the key files
ECB, JWE = "SHIM_KEY_FILE", "SHIM_JWE_KEY_FILE"
# the systemd credentials that are used when they are unset
CREDENTIALS = {ECB: "key", JWE: "jwe-key"}
# what the unit's SetCredential= provides when LoadCredential= finds no file
NO_CREDENTIAL = b"none"

Keyring = tuple[bytes, ...]

_HEX = re.compile(rb"[0-9A-Fa-f]{64}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{43}=?")
_BASE64URL = re.compile(rb"[A-Za-z0-9_-]{43}=?")
_TEXT = re.compile(rb"[!-~][ -~]{30}[!-~]")
# as long as a raw key, but lines of text
_LINES = re.compile(rb"[\t-\r -~]*\n[\t-\r -~]*")
_MAX_BYTES = 1 << 20
_REMEDIES = {
    errno.ENOENT: "correct the path, or create the file with record-shim keygen --output",
    errno.EACCES: "run this as root or with sudo",
}


class Keyrings(NamedTuple):
    """The keys of both token formats. Tokens of a format without keys do not open."""

    ecb: Keyring
    jwe: Keyring

    def __str__(self) -> str:
        """Return which links open, without the keys."""
        return f"keys: {len(self.ecb)} for ECB links, {len(self.jwe)} for JWE links"


def key_file(environ: Mapping[str, str], variable: str) -> str | None:
    """Return the path of the key file that `variable`, one of CREDENTIALS, names.

    If it is unset, return the path of the systemd credential, or None when there is none.
    Source: systemd.exec(5), "Credentials".
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

    Raises Misconfigured when it names none, when a key file is invalid, or when both
    files contain the same key.
    """
    paths = {variable: key_file(environ, variable) for variable in CREDENTIALS}
    if not any(paths.values()) and "CREDENTIALS_DIRECTORY" in environ:
        raise Misconfigured(
            "no key: neither of the key files that the unit loads exists",
            "create one with record-shim keygen --output FILE, then run record-shim restart",
        )
    if not any(paths.values()):
        raise Misconfigured(
            "no key file",
            f"set {ECB} (ECB links) or {JWE} (JWE links) to the path of one, or use"
            " --key-file; on a storage box, run this as root",
        )
    keyrings = Keyrings(*(load_keyring(x) if x else () for x in paths.values()))
    ecb, jwe = (x and os.path.realpath(x) for x in paths.values())
    if ecb and ecb == jwe:
        raise Misconfigured(
            f"key file {paths[JWE]!r}: used for both ECB links and JWE links",
            "use a key file of its own for each format",
        )
    # what one format reveals about a key must not weaken the other
    if set(keyrings.ecb) & set(keyrings.jwe):
        raise Misconfigured(
            f"key file {paths[JWE]!r}: shares a key with {paths[ECB]!r}, but ECB links and"
            " JWE links need different keys",
            "make a new key with record-shim keygen",
        )
    return keyrings


def _is_no_credential(path: str) -> bool:
    # load_keyring reports everything else that is wrong with the file
    with contextlib.suppress(OSError, Misconfigured):
        return _read(path)[0] == NO_CREDENTIAL
    return False


def load_keyring(path: str) -> Keyring:
    """Return the keys in the file at `path`, 32 bytes each, in the order of the file.

    Raises Misconfigured, which names the file and the line but never the key.
    """
    try:
        data, mode = _read(path)
    except OSError as error:
        raise Misconfigured(
            f"key file {path!r}: {error.strerror}", _REMEDIES.get(error.errno or 0, "")
        ) from None
    if mode & stat.S_IRWXO:
        raise Misconfigured(
            f"key file {path!r}: readable or writable by every user",
            f"run chmod o= {path}",
        )
    if len(data) == KEY_BYTES and not _LINES.fullmatch(data):
        return (_random(data, f"key file {path!r}"),)
    keyring = []
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip() and not line.startswith(b"#"):
            where = f"key file {path!r}, line {number}"
            keyring.append(_random(_parse_line(line, where), where))
    if not keyring:
        raise Misconfigured(
            f"key file {path!r}: contains no key",
            f"delete it, then run record-shim keygen --output {path}",
        )
    return tuple(keyring)


def _read(path: str) -> tuple[bytes, int]:
    """Return content and mode of a key file; raises OSError or Misconfigured."""
    # a FIFO must not block, and a device must not be read
    with open(path, "rb", opener=_open_nonblocking) as file:
        mode = os.fstat(file.fileno()).st_mode
        data = file.read(_MAX_BYTES + 1) if stat.S_ISREG(mode) else b""
    if not stat.S_ISREG(mode):
        raise Misconfigured(f"key file {path!r}: not a regular file")
    if len(data) > _MAX_BYTES:
        raise Misconfigured(f"key file {path!r}: too large")
    return data, mode


def _open_nonblocking(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def new_key() -> str:
    """Return a new random key, as a line of a key file."""
    return secrets.token_hex(KEY_BYTES) + "\n"


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
        f"{where}: not a key ({len(line)} characters)",
        "write a key as 64 hex digits, as base64 or base64url of 32 bytes, or as exactly"
        " 32 ASCII characters",
    )


def _random(key: bytes, where: str) -> bytes:
    """Return `key`; raises Misconfigured when it is only one byte, repeated."""
    if len(set(key)) == 1:
        raise Misconfigured(
            f"{where}: not a random key", "make one with record-shim keygen"
        )
    return key
