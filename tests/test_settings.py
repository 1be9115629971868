from pathlib import Path

import pytest

from shim.box import layout
from shim.box.settings_file import read_settings, read_variables
from shim.errors import Misconfigured
from shim.tokens.settings import Settings, load_settings


def test_an_empty_setting_means_the_default() -> None:
    assert load_settings({"SHIM_PATH_PREFIX": "", "SHIM_DISPOSITION": ""}) == Settings()
    given = {
        "SHIM_INTERNAL_PREFIX": "/_calls/",
        "SHIM_PATH_PREFIX": "/var/spool",
        "SHIM_DISPOSITION": "inline",
    }
    assert load_settings(given) == Settings(*given.values())


@pytest.mark.parametrize(
    "text",
    ["/", "records", "/records", "records/", "/a b/", "/a/../b/", '/a"/', "/a/\n"],
)
def test_an_internal_prefix_that_nginx_could_misread(text: str) -> None:
    with pytest.raises(Misconfigured, match="SHIM_INTERNAL_PREFIX"):
        load_settings({"SHIM_INTERNAL_PREFIX": text})


@pytest.mark.parametrize("text", ["/var/../records", "/a\n", ".hidden", "/a" * 2048])
def test_a_path_prefix_that_no_path_has(text: str) -> None:
    with pytest.raises(Misconfigured, match="SHIM_PATH_PREFIX"):
        load_settings({"SHIM_PATH_PREFIX": text})


def test_an_unknown_disposition() -> None:
    with pytest.raises(Misconfigured, match="SHIM_DISPOSITION"):
        load_settings({"SHIM_DISPOSITION": "Inline"})


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("SHIM_DISPOSITON", "did you mean SHIM_DISPOSITION?"),
        ("shim_disposition", "did you mean SHIM_DISPOSITION?"),
        ("SHIM_PREFIX_PATH", "did you mean SHIM_PATH_PREFIX?"),
        ("SHIM_KEYFILE", "did you mean SHIM_KEY_FILE?"),
        ("SHIM_WORKERS", "the settings are SHIM_KEY_FILE, SHIM_JWE_KEY_FILE, "),
    ],
)
def test_an_unknown_name(name: str, remedy: str) -> None:
    """B13: a misspelt name is refused with the nearest right one."""
    with pytest.raises(Misconfigured) as error:
        load_settings({"PATH": "/bin", name: "inline"})
    assert error.value.problem == f"{name}: unknown setting"
    assert error.value.remedy.startswith(remedy)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings file of a box."""
    monkeypatch.setattr(layout, "SETTINGS", str(tmp_path / "settings"))
    return tmp_path / "settings"


def test_the_settings_file(file: Path) -> None:
    """B13: see box/test_restart.py, which compares all of this with systemd."""
    assert read_settings() == {}
    file.write_text('# A=0\nA=a # b\n B = "x\\""\'y\' \nSHIM_DISPOSITION=c\\\nd')
    assert read_variables() == {"A": "a # b", "B": 'x"y', "SHIM_DISPOSITION": "cd"}
    assert read_settings() == {"SHIM_DISPOSITION": "cd"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"A=1\n\nB\n", "settings, line 3: not NAME=VALUE"),
        (
            b"A=1\r\nB='x\r\n",
            "settings, line 2: not NAME=VALUE, or a quote is not closed",
        ),
        (b"export A=1", "settings, line 1: not the name of a variable"),
        (b"A=\x01", "settings, line 1: contains a control character"),
        (b"# \\\nA=1", "settings, line 1: the comment ends with a backslash"),
        (b"A=\xff", "settings: not UTF-8"),
        (b"shim_disposition=inline", "settings: shim_disposition: unknown setting"),
        (
            b"SHIM_JWE_KEY_FILE=/k",
            "settings: SHIM_JWE_KEY_FILE is set, but the service",
        ),
    ],
)
def test_a_line_that_systemd_would_ignore(
    file: Path, text: bytes, message: str
) -> None:
    """B13: it is refused with its number, and its content is not shown."""
    file.write_bytes(text)
    with pytest.raises(Misconfigured) as error:
        read_settings()
    assert message in str(error.value)
