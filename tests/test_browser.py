"""The demo's page in a real browser."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from demo import publish
from selenium import webdriver
from support.recordings import demo_recordings
from support.stack import Stack
from support.waiting import wait_for

pytestmark = pytest.mark.needs("chromium", "chromedriver")

FLAGS = [
    "--headless=new",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in FLAGS:
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path}/profile")
    if os.getuid() == 0:
        options.add_argument("--no-sandbox")
    options.add_experimental_option(
        "prefs", {"download.default_directory": str(tmp_path / "downloads")}
    )
    service = webdriver.ChromeService("/usr/bin/chromedriver")
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.mark.parametrize("options", [[], ["--expires=1h"]], ids=["api", "sealed"])
def test_the_page_plays_seeks_and_downloads(
    stack: Stack, browser: webdriver.Chrome, tmp_path: Path, options: list[str]
) -> None:
    recordings = demo_recordings()
    publish(stack, list(recordings), *options)
    browser.get(stack.url + "/")
    players = browser.find_elements("tag name", "audio")
    assert len(players) == len(recordings)
    for player in players:
        wait_for(lambda player=player: player.get_property("readyState") >= 1)
        duration = player.get_property("duration")
        assert duration > 1
        browser.execute_script(
            "arguments[0].currentTime = arguments[1]; arguments[0].play()",
            player,
            duration / 2,
        )
        wait_for(
            lambda player=player, middle=duration / 2: (
                player.get_property("currentTime") > middle + 0.1
            )
        )
        assert player.get_property("error") is None
        browser.execute_script("arguments[0].pause()", player)

    for path, content in recordings.items():
        name = path.rpartition("/")[2]
        link = next(
            element
            for element in browser.find_elements("tag name", "a")
            if unquote(element.text) == path
        )
        link.click()
        file = tmp_path / "downloads" / name
        wait_for(lambda file=file: file.exists())
        assert file.read_bytes() == content
