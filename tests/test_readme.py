import re
import subprocess
from pathlib import Path

from demo import demo_recordings
from stack import Stack

import shim

README = Path(__file__).parents[1].joinpath("README.md").read_text("utf-8")


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def code(text: str) -> list[str]:
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


def test_the_example_for_apis_makes_a_link_that_opens(
    stack: Stack, tmp_path: Path
) -> None:
    [example] = code(section("How an API makes links"))
    subprocess.run(
        ["bash", "-euo", "pipefail", "-c", example],
        env={
            "PATH": "/usr/bin:/bin",
            "SHIM_KEY_FILE": f"{stack.root}/key",
            "BASE_URL": stack.url,
        },
        cwd=tmp_path,
        check=True,
    )
    path = re.search(r"path=(\S+)", example)[1]
    assert (tmp_path / "recording.mp3").read_bytes() == demo_recordings()[path]


def test_the_settings_table_lists_what_the_code_reads() -> None:
    listed = set(re.findall(r"^\| `(SHIM_\w+)`", section("Settings"), re.MULTILINE))
    read = set()
    for source in Path(shim.__file__).parent.glob("*.py"):
        read |= set(re.findall(r'"(SHIM_[A-Z_]+)"', source.read_text("utf-8")))
    assert listed == read
