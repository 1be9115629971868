"""The demo's page in a real browser."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo.page import alter, publish
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from support.links import jwe_target
from support.raw_http import get
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
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    service = webdriver.ChromeService("/usr/bin/chromedriver")
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture
def ecb_links(stack: Stack) -> dict[str, str]:
    return {path: stack.link(path) for path in demo_recordings()}


def show_as_phone(browser: webdriver.Chrome) -> None:
    size = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def texts(parent: WebElement, selector: str) -> list[str]:
    return [element.text for element in parent.find_elements("css selector", selector)]


def test_the_recordings_play_seek_and_download(
    stack: Stack, browser: webdriver.Chrome, tmp_path: Path, ecb_links: dict[str, str]
) -> None:
    publish(stack, ecb_links)
    browser.get(stack.url + "/")
    cards = browser.find_elements("css selector", ".recording")
    for card, (path, content) in zip(cards, demo_recordings().items(), strict=True):
        assert texts(card, "h3") == [path]
        player = card.find_element("css selector", "audio")
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

        card.find_element("link text", "Download").click()
        file = tmp_path / "downloads" / path.rpartition("/")[2]
        wait_for(file.exists)
        assert file.read_bytes() == content


def test_a_recording_plays_in_a_tab_of_its_own(
    stack: Stack, browser: webdriver.Chrome
) -> None:
    """A14: the content security policy does not keep Chromium from playing a recording."""
    for path in demo_recordings():
        browser.get(stack.url + jwe_target(path, disposition="inline"))
        player = browser.find_element("css selector", "video")
        wait_for(
            lambda player=player: float(player.get_property("currentTime") or 0) > 0.1
        )
        assert player.get_property("error") is None


def test_a_page_among_the_recordings_runs_no_script(
    stack: Stack, browser: webdriver.Chrome
) -> None:
    """A14: an HTML file in the records directory is shown, but its scripts do not run."""
    page = "<title>page</title><script>document.title = 'script'</script>"
    (stack.records / "300/page.html").write_text(page)
    browser.get(stack.url + jwe_target("/300/page.html", disposition="inline"))
    assert browser.title == "page"


def test_a_link_is_shortened_until_someone_looks_at_it(
    stack: Stack, browser: webdriver.Chrome, ecb_links: dict[str, str]
) -> None:
    publish(stack, ecb_links)
    show_as_phone(browser)
    browser.get(stack.url + "/")
    summaries = browser.find_elements("css selector", "summary")
    *shown, jwe_link, altered_link = (
        summary.get_property("textContent") for summary in summaries
    )
    assert shown == list(ecb_links.values())
    assert altered_link == alter(jwe_link)
    differs = [a for a, b in zip(altered_link, jwe_link, strict=True) if a != b]
    assert texts(summaries[4], "mark") == differs
    assert len(differs) == 1

    def whole(summary: WebElement) -> bool:
        head = summary.find_element("css selector", ".head")
        return head.value_of_css_property("white-space") == "normal"

    def clipped(summary: WebElement) -> bool:
        head = summary.find_element("css selector", ".head")
        return head.get_property("scrollWidth") > head.get_property("clientWidth")

    for summary in summaries:
        link = summary.get_property("textContent")
        assert summary.get_attribute("title") == link
        assert clipped(summary)
        assert not whole(summary)
        browser.execute_script("arguments[0].scrollIntoView()", summary)
        ActionChains(browser).move_to_element(summary).perform()
        assert whole(summary)
        ActionChains(browser).move_by_offset(0, 100).perform()
        assert not whole(summary)
        # without a pointer that hovers: a tap, or Enter
        summary.send_keys(Keys.ENTER)
        assert summary.find_element("xpath", "..").get_attribute("open")
        assert whole(summary)
        assert summary.text == link


def test_a_jwe_link_counts_down_and_expires(
    stack: Stack, browser: webdriver.Chrome, ecb_links: dict[str, str]
) -> None:
    publish(stack, ecb_links, lifetime=6)
    # the visitor's clock is a day slow
    browser.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument",
        {"source": "const now = Date.now; Date.now = () => now() - 86400000"},
    )
    browser.get(stack.url + "/")
    card = browser.find_element("id", "expiring")
    target = card.get_attribute("data-link")

    def state() -> str | None:
        return card.get_attribute("data-state")

    wait_for(lambda: state() == "valid")
    content = next(iter(demo_recordings().values()))
    status, body, _ = texts(card, ".answer > p")
    assert (status, body) == ("200 OK", f"audio/mpeg, {len(content):,} bytes")
    seen = set()

    def expired() -> bool:
        seen.update(texts(card, ".countdown"))
        return state() == "expired"

    wait_for(expired)
    assert {"Expires in\n0:02", "Expires in\n0:01"} <= seen
    assert texts(card, ".countdown") == ["Expired\n0:00"]
    answer = get(stack.port, target)
    assert texts(card, ".answer > p")[:2] == ["410 Gone", answer.body.decode().strip()]
    assert answer.status == 410

    publish(stack, ecb_links)
    card.find_element("css selector", "button").click()
    wait_for(lambda: browser.find_element("id", "expiring") != card)
    card = browser.find_element("id", "expiring")
    assert card.get_attribute("data-link") != target
    wait_for(lambda: state() == "valid")


def test_an_altered_link_is_refused(
    stack: Stack, browser: webdriver.Chrome, ecb_links: dict[str, str]
) -> None:
    publish(stack, ecb_links)
    browser.get(stack.url + "/")
    card = browser.find_element("id", "altered")
    wait_for(lambda: card.get_attribute("data-state") == "refused")
    answer = get(stack.port, card.get_attribute("data-link"))
    assert answer.status == 404
    assert texts(card, ".answer > p")[:2] == [
        "404 Not Found",
        answer.body.decode().strip(),
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone(
    stack: Stack, browser: webdriver.Chrome, ecb_links: dict[str, str], scheme: str
) -> None:
    publish(stack, ecb_links)
    show_as_phone(browser)
    preference = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [preference]})
    browser.get(stack.url + "/")
    wait_for(lambda: browser.find_elements("css selector", "[data-state=refused]"))
    for summary in browser.find_elements("css selector", "summary"):
        summary.send_keys(Keys.ENTER)
    width = browser.execute_script("return document.documentElement.scrollWidth")
    assert width == 390
    for control in browser.find_elements("css selector", "a, audio, summary"):
        assert control.size["height"] >= 44
    background = browser.execute_script(
        "return getComputedStyle(document.body).backgroundColor"
    )
    channels = [int(part) for part in background[4:-1].split(",")]
    assert all((channel > 200) == (scheme == "light") for channel in channels)


def test_no_request_leaves_the_host(
    stack: Stack, browser: webdriver.Chrome, ecb_links: dict[str, str]
) -> None:
    publish(stack, ecb_links)
    browser.get_log("performance")
    browser.get(stack.url + "/")
    wait_for(lambda: browser.find_elements("css selector", "[data-state=refused]"))
    messages = [
        json.loads(entry["message"])["message"]
        for entry in browser.get_log("performance")
    ]
    urls = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert stack.url + "/" in urls
    assert len(urls) > len(ecb_links) + 2
    assert all(url.startswith((stack.url + "/", "data:")) for url in urls)
