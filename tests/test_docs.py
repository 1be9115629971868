import re
from pathlib import Path

import shim

DOCS = Path(__file__).parents[1] / "docs"
README = (DOCS.parent / "README.md").read_text("utf-8")


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_every_claim_about_security_names_a_test_that_there_is() -> None:
    page = (DOCS / "security.md").read_text("utf-8")
    named = re.findall(r"\[`([\w/]+\.py)::(\w+)`\]", page)
    assert len(named) == page.count("[`") > 20
    for file, test in named:
        source = (DOCS.parent / "tests" / file).read_text("utf-8")
        assert f"def {test}(" in source, (file, test)


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in (DOCS.parent / "README.md", *DOCS.glob("*.md")):
        for target in re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8")):
            if "://" in target:
                continue
            file, _, anchor = target.partition("#")
            text = (page.parent / file if file else page).read_text("utf-8")
            headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
            anchors = [
                re.sub(r"[^\w -]", "", x.lower()).replace(" ", "-") for x in headings
            ]
            assert not anchor or anchor in anchors, target


def test_the_settings_table_lists_what_the_code_reads() -> None:
    listed = set(re.findall(r"^\| `(SHIM_\w+)`", section("Settings"), re.MULTILINE))
    read = set()
    for source in Path(shim.__file__).parent.rglob("*.py"):
        read |= set(re.findall(r'"(SHIM_[A-Z_]+)"', source.read_text("utf-8")))
    assert listed == read
