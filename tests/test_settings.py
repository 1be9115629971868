import pytest

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
