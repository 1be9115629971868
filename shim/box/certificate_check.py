"""Check of the site's certificate, which verifies it as a client does."""

import contextlib
import os
import re
import socket
import ssl
import time
from collections.abc import Iterator
from typing import NamedTuple

from ..errors import Misconfigured
from . import layout
from .nginx import TIMEOUT_SECONDS
from .nginx_config import Listen, Site
from .results import Finding, bad, bad_because, good, warning

_WARNING_DAYS = 21
_BAD_DAYS = 7
_DAY = 86_400
_RENEW = "renew it; docs/install.md (TLS) says how nginx picks up the new one"
_RELOAD = f"run systemctl reload {layout.NGINX_UNIT}"

# numbers of OpenSSL that Python does not name: openssl/x509_vfy.h
_PARTIAL_CHAIN, _NO_CHECK_TIME = 0x8_0000, 0x20_0000
_NOT_YET_VALID, _EXPIRED, _SELF_SIGNED = 9, 10, 18
_UNKNOWN_ISSUER = (19, 20, 21)
_WRONG_NAME = (62, 64)

_PEM = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


class _Certificate(NamedTuple):
    """What is in a certificate; the times are Unix times."""

    names: str
    issuer: str
    not_before: float
    not_after: float


def check_certificate(site: Site, listen: Listen, host: str) -> Finding:
    """Check the certificate that nginx serves at `listen` to clients that ask for `host`.

    A host name "_" means that any name is right.
    """
    try:
        encoded = _served(listen, host)
        served = _decoded(encoded, listen, host)
    except OSError as error:
        where = f"{listen.address} port {listen.port}"
        return bad("certificate", f"certificate: no TLS at {where}: {error}", _RELOAD)
    on_disk = [_first_in(x) for x in site.certificates]
    if on_disk and None not in on_disk and encoded not in on_disk:
        problem = f"certificate: nginx still serves another one than that in {site.certificate}"
        return bad("certificate", problem, _RELOAD)
    about = f"certificate for {served.names}"
    try:
        with _connected(_as_a_client(host), listen, host):
            pass
    except Misconfigured as error:
        return bad_because("certificate", error)
    except ssl.SSLCertVerificationError as error:
        problem, remedy = _refused(error, served, host)
        return bad("certificate", f"{about}: {problem}", remedy)
    except OSError as error:
        return bad("certificate", f"{about}: {error}", _RELOAD)
    days = (served.not_after - time.time()) / _DAY
    expires = f"{about}: expires on {_date(served.not_after)}, in {days:.0f} days"
    if days < _BAD_DAYS:
        return bad("certificate", expires, _RENEW)
    if days < _WARNING_DAYS:
        return warning("certificate", expires, _RENEW)
    return good("certificate", f"{expires}; clients can verify it")


def _refused(
    error: ssl.SSLCertVerificationError, served: _Certificate, host: str
) -> tuple[str, str]:
    """Return why a client refuses the certificate, and what to do."""
    code = error.verify_code
    if code in _WRONG_NAME:
        return f"not valid for {host}", f"use a certificate for {host}"
    if code == _EXPIRED and served.not_after > time.time():
        return "the certificate of its issuer has expired", _RENEW
    if code == _EXPIRED:
        return f"expired on {_date(served.not_after)}", _RENEW
    if code == _NOT_YET_VALID:
        return (
            f"not valid before {_date(served.not_before)}",
            "run date; if this box's time is right, use another certificate",
        )
    if code == _SELF_SIGNED:
        return (
            "self-signed, so clients refuse it",
            "use one of a certificate authority, as docs/install.md (TLS) describes",
        )
    if code in _UNKNOWN_ISSUER:
        problem = (
            f"clients cannot verify it, because its issuer {served.issuer} is neither"
            " known nor in the certificate file"
        )
        remedy = (
            "use the file with the whole chain (certbot's fullchain.pem); if the"
            " certificate authority is your own, put its certificate below"
            " /usr/local/share/ca-certificates and run update-ca-certificates"
        )
        return problem, remedy
    return error.verify_message, _RENEW


def _as_a_client(host: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    # since Python 3.13; browsers and curl accept what it forbids
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.check_hostname = host != "_"
    directory = ssl.get_default_verify_paths().capath
    if not context.cert_store_stats()["x509_ca"] and not (
        directory and os.listdir(directory)
    ):
        raise Misconfigured(
            "certificate: not verified, because this box has no CA certificates",
            "run apt-get install ca-certificates",
        )
    return context


@contextlib.contextmanager
def _connected(
    context: ssl.SSLContext, listen: Listen, host: str
) -> Iterator[ssl.SSLSocket]:
    where = (listen.address, listen.port)
    name = None if host == "_" else host
    with (
        socket.create_connection(where, TIMEOUT_SECONDS) as stream,
        context.wrap_socket(stream, server_hostname=name) as connection,
    ):
        yield connection


def _served(listen: Listen, host: str) -> bytes:
    """Return the certificate that nginx serves, in DER."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with _connected(context, listen, host) as connection:
        return connection.getpeercert(binary_form=True) or b""


def _decoded(encoded: bytes, listen: Listen, host: str) -> _Certificate:
    """Return what is in the certificate `encoded`, which nginx serves.

    Python decodes only a certificate that it has verified. It therefore connects once
    more and trusts this very certificate, whatever its dates and its name.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= _PARTIAL_CHAIN | _NO_CHECK_TIME
    context.load_verify_locations(cadata=encoded)
    with _connected(context, listen, host) as connection:
        decoded = connection.getpeercert() or {}
    subject = dict(_pairs(decoded.get("subject")))
    issuer = dict(_pairs(decoded.get("issuer")))
    names = [value for _, value in _pairs(decoded.get("subjectAltName"))]
    return _Certificate(
        names=", ".join(names) or subject.get("commonName", "no name"),
        issuer=repr(issuer.get("commonName") or issuer.get("organizationName", "")),
        not_before=ssl.cert_time_to_seconds(str(decoded["notBefore"])),
        not_after=ssl.cert_time_to_seconds(str(decoded["notAfter"])),
    )


def _pairs(nested: object) -> Iterator[tuple[str, str]]:
    """Yield the pairs of strings in tuples of tuples."""
    match nested:
        case (str(name), str(value)):
            yield name, value
        case tuple():
            for each in nested:
                yield from _pairs(each)


def _first_in(file: str) -> bytes | None:
    """Return the first certificate in a PEM file in DER, None if there is none."""
    with contextlib.suppress(OSError, ValueError):
        with open(file, encoding="ascii", errors="replace") as opened:
            found = _PEM.search(opened.read())
        return ssl.PEM_cert_to_DER_cert(found[0]) if found else None
    return None


def _date(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment))
