import re
from pathlib import Path

import shim

README = Path(__file__).parents[1].joinpath("README.md").read_text("utf-8")


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_settings_table_lists_what_the_code_reads() -> None:
    listed = set(re.findall(r"^\| `(SHIM_\w+)`", section("Settings"), re.MULTILINE))
    read = set()
    for source in Path(shim.__file__).parent.glob("*.py"):
        read |= set(re.findall(r'"(SHIM_[A-Z_]+)"', source.read_text("utf-8")))
    assert listed == read
