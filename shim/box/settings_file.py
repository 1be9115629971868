"""The settings file of this box, and what a command takes from it."""

import os
import re

from ..errors import Misconfigured
from ..tokens.keys import CREDENTIALS
from ..tokens.settings import PREFIX, check_names
from . import key_files, layout

# systemd's own grammar (systemd 252, parse_env_file_internal). Quotes end before a plain
# rest, in which they are ordinary characters. A # is one in every value.
_LINE = re.compile(
    r"""
    (?: (?P<comment> [#;][^\n\r]* )
      | (?P<name> [^\s=#;][^=\n\r]*? ) [ \t]* =
        (?P<quoted> (?: [ \t]* (?: '[^']*' | "(?:\\.|[^"\\])*" ) )* ) [ \t]*
        (?P<plain> (?!['"]) (?: \\. | \\\Z | [^\\\n\r] )* )
    )
    (?: [\n\r] | \Z )
    """,
    re.VERBOSE | re.DOTALL,
)
_BLANK = re.compile(r"[ \t\n\r]*")
_QUOTED = re.compile(r"""'([^']*)'|"((?:\\.|[^"\\])*)\"""", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def box_environ() -> dict[str, str]:
    """Return the settings of this box's service, for a command run by anyone.

    Key files that the caller cannot read are left out. On another machine the result is
    empty. Raises Misconfigured.
    """
    existing = key_files.existing()
    readable = {x: y for x, y in existing.items() if os.access(y, os.R_OK)}
    return {**readable, **read_settings()}


def read_settings() -> dict[str, str]:
    """Return the SHIM_ settings in the settings file. An empty value means the default.

    Raises Misconfigured when the file is unreadable or malformed, or names an unknown
    setting or a key file.
    """
    variables = read_variables()
    settings = {x: y for x, y in variables.items() if x.startswith(PREFIX)}
    try:
        check_names(variables)
    except Misconfigured as error:
        raise Misconfigured(
            f"{layout.SETTINGS}: {error.problem}", error.remedy
        ) from None
    for name in CREDENTIALS:
        if settings.get(name):
            raise Misconfigured(
                f"{layout.SETTINGS}: {name} is set, but the service cannot read key files",
                f"delete the line: systemd passes {layout.KEY_FILES[name]} to the service",
            )
    return settings


def read_variables() -> dict[str, str]:
    """Return all variables in the settings file, as systemd reads it.

    If a name occurs twice, the last line counts. Raises Misconfigured when the file is
    unreadable or malformed; systemd ignores such lines. Source: systemd.exec(5),
    "EnvironmentFile=".
    """
    try:
        with open(layout.SETTINGS, encoding="utf-8", newline="") as file:
            text = file.read()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Misconfigured(f"{layout.SETTINGS}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Misconfigured(
            f"{layout.SETTINGS}: not UTF-8", "correct the file"
        ) from None
    variables = {}
    position = _skip_blank(text, 0)
    while position < len(text):
        line = _LINE.match(text, position)
        if line is None:
            raise _malformed(text, position, "not NAME=VALUE, or a quote is not closed")
        if line["comment"] is None:
            name, value = line["name"], _value(line["quoted"], line["plain"])
            if not _NAME.fullmatch(name):
                raise _malformed(text, position, "not the name of a variable")
            if _CONTROL.search(value):
                raise _malformed(text, position, "contains a control character")
            variables[name] = value
        elif line["comment"].endswith("\\"):
            # systemd 252 skips the next line then, systemd 254 does not
            raise _malformed(text, position, "the comment ends with a backslash")
        position = _skip_blank(text, line.end())
    return variables


def _skip_blank(text: str, position: int) -> int:
    blank = _BLANK.match(text, position)
    return blank.end() if blank else position


def _value(quoted: str, plain: str) -> str:
    value = ""
    for single, double in _QUOTED.findall(quoted):
        value += single
        # other backslashes stay
        value += re.sub(
            r"\\([\"\\`$\n])", lambda x: x[1].strip("\n"), double, flags=re.DOTALL
        )
    # what follows the last escaped character ends without blanks
    *escaped, rest = re.split(r"\\(.|\Z)", plain, flags=re.DOTALL)
    return (
        value
        + "".join(x.strip("\n\r") if i % 2 else x for i, x in enumerate(escaped))
        + rest.rstrip(" \t")
    )


def _malformed(text: str, position: int, problem: str) -> Misconfigured:
    number = len(re.findall(r"\r\n|\n|\r", text[:position])) + 1
    return Misconfigured(
        f"{layout.SETTINGS}, line {number}: {problem}", "correct the file"
    )
