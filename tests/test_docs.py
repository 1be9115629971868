"""What the documentation says about the code and about itself."""

import re
import subprocess
from pathlib import Path

import pytest
from support.checkout import CHECKOUT
from support.stack import BIN

from shim.box.install_conf import Options
from shim.box.install_conf import text_of as text_of_install_conf
from shim.errors import Reason
from shim.tokens.keys import CREDENTIALS
from shim.tokens.settings import Settings

DOCS = CHECKOUT / "docs"
PAGES = [*CHECKOUT.glob("*.md"), *DOCS.glob("*.md")]
# words that are no longer used, because each thing has one name
REPLACED = ["API's format", "sealed link", "sealed token", "issuing-links"]
# the changelog says what was renamed
READ_BY_USERS = [
    *(page for page in PAGES if page.name != "CHANGELOG.md"),
    *(CHECKOUT / "nginx").glob("*"),
    *(CHECKOUT / "systemd").glob("*"),
]
COMMANDS = [
    *("", "keygen", "link", "open", "render", "render nginx", "render systemd"),
    *("install", "uninstall", "check", "restart", "stop", "start", "forget"),
]


def text_of(page: Path) -> str:
    return page.read_text("utf-8")


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    # a line that starts with # in a code block is a comment
    prose = re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", x.lower()).replace(" ", "-") for x in headings}


def table_rows(page: Path, heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading, without its first two rows."""
    section = re.split(rf"^#+ {re.escape(heading)}$", text_of(page), flags=re.MULTILINE)
    [table, *_] = re.findall(r"(?:^\|.*\n)+", section[1], re.MULTILINE)
    lines = table.splitlines()[2:]
    return [[cell.strip() for cell in line.split(" | ")] for line in lines]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", text_of(page)):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        path = page.parent / file if file else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


def test_every_claim_about_security_names_an_existing_test() -> None:
    page = text_of(DOCS / "security.md")
    named = re.findall(r"\[`([\w/]+\.py)::(\w+)`\]", page)
    assert len(named) == page.count("[`") > 20
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not (CHECKOUT / "tests" / file).exists()
        or f"def {test}(" not in text_of(CHECKOUT / "tests" / file)
    ]
    assert missing == []


def test_the_settings_table_lists_what_the_code_reads() -> None:
    page = text_of(DOCS / "settings.md")
    listed = set(re.findall(r"^\| `(SHIM_\w+)`", page, re.MULTILINE))
    assert listed == {*CREDENTIALS, *(f"SHIM_{x.upper()}" for x in Settings._fields)}


def test_the_table_of_refusals_lists_every_reason() -> None:
    rows = table_rows(DOCS / "operations.md", "Why a link was refused")
    listed = {code.strip("| `"): sentence for code, sentence, _ in rows}
    assert listed == {x.code: x.sentence.replace("{}", "…") for x in Reason}


def test_only_an_expired_link_has_another_status() -> None:
    assert "410 for `expired` and 404 for everything else" in text_of(
        DOCS / "operations.md"
    )
    assert {x.code: x.status for x in Reason if x.status != 404} == {"expired": 410}


@pytest.mark.parametrize("file", READ_BY_USERS, ids=lambda file: file.name)
def test_pages_and_templates_use_the_vocabulary(file: Path) -> None:
    assert [x for x in REPLACED if x.lower() in text_of(file).lower()] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_uses_the_vocabulary(command: str) -> None:
    result = subprocess.run(
        [BIN / "record-shim", *command.split(), "--help"],
        check=True,
        capture_output=True,
        text=True,
    )
    shown = " ".join(result.stdout.split()).lower()
    assert [x for x in REPLACED if x.lower() in shown] == []


def test_the_pages_describe_every_option_of_install() -> None:
    result = subprocess.run(
        [BIN / "record-shim", "install", "--help"],
        check=True,
        capture_output=True,
        text=True,
    )
    options = set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", result.stdout, re.MULTILINE))
    rows = table_rows(DOCS / "install.md", "Options")
    described = {re.findall(r"--[\w-]+", option)[0] for option, *_ in rows}
    assert described == options - {"--help"}


def test_the_page_and_the_head_of_install_conf_name_its_lines() -> None:
    options = Options(*(f"value of {x}" for x in Options._fields))
    head, lines = text_of_install_conf(options).split("[install]\n")
    names = [x.split(" = ")[0] for x in lines.splitlines()]
    assert set(re.findall(r"[a-z-]+", head)) >= set(names)
    shown = text_of(DOCS / "install.md").split("\n    [install]\n")[1].split("\n\n")[0]
    assert [x.split(" = ")[0].strip() for x in shown.splitlines()] == names


def test_the_limits_name_one_place_for_their_zones() -> None:
    page = text_of(DOCS / "operations.md")
    assert "cp limit-conn-zone.conf /etc/nginx/conf.d/record-shim-limit-conn" in page
    for limit in ("limit-conn", "limit-req"):
        place = f"/etc/nginx/conf.d/record-shim-{limit}-zone.conf"
        for file in (f"{limit}.conf", f"{limit}-zone.conf"):
            assert place in text_of(CHECKOUT / "nginx" / file)


def test_the_readme_is_short() -> None:
    assert len(text_of(CHECKOUT / "README.md").splitlines()) <= 110


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_uses_a_pip_that_debian_does_not_have(page: Path) -> None:
    """B24: python3-venv brings a pip for virtual environments only."""
    assert "python3 -m pip" not in text_of(page)


def test_the_command_to_restart_is_the_one_that_checks_first() -> None:
    """B12: no command block uses systemctl to restart the service."""
    blocks = [
        x
        for page in PAGES
        for x in re.findall(r"```sh\n(.*?)```", text_of(page), re.DOTALL)
    ]
    assert "systemctl restart record-shim" not in "".join(blocks)


def test_how_long_logs_are_kept_is_said() -> None:
    """B29: the pages say that Debian keeps 14 days, and search the rotated logs too."""
    logs = text_of(DOCS / "operations.md").split("\n## Logs\n")[1].split("\n### ")[0]
    assert "keeps 14 days" in " ".join(logs.split())
    assert logs.count("zgrep ") == logs.count("record-shim.log*") == 2


def test_what_response_times_reveal_is_said() -> None:
    """A15: in the cached form, a token that opens is slower already the first time."""
    security = " ".join(text_of(DOCS / "security.md").split())
    assert (
        "The first response is therefore slower than for a token that does" in security
    )
