"""Headless Chromium, and what it says of a page."""

from __future__ import annotations

import base64
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
LOGS = {"browser": "ALL", "performance": "ALL"}


@contextmanager
def chromium(profile: Path) -> Iterator[Any]:
    """A browser with a fresh profile; skips where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed here")
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("chromium and chromedriver are not installed here (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", LOGS)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield browser
    finally:
        browser.quit()


def show(browser: Any, page: Path, width: int, scheme: str) -> None:
    """Opens a file on a screen so many pixels wide, in the light or dark scheme; what came before is forgotten."""
    browser.get("about:blank")
    for log in LOGS:
        browser.get_log(log)
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1 if width > 1000 else 2, "mobile": width < 1000}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    scheme_feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme_feature]})
    browser.get(page.absolute().as_uri())
    deadline = time.monotonic() + 30
    while not browser.execute_script("return [...document.images].every(image => image.complete)"):
        assert time.monotonic() < deadline, "pictures did not load"
        time.sleep(0.05)


def requests(browser: Any) -> list[str]:
    """What pages asked for since the last call, but for data within them and the browser's own start page."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return [url for url in sent if not url.startswith(("data:", "chrome:"))]


def complaints(browser: Any) -> list[str]:
    """What the browser has to say since the last call."""
    return [entry["message"] for entry in browser.get_log("browser")]


def screenshot(browser: Any, path: Path) -> None:
    """The whole page as a PNG."""
    size = browser.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
    clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    path.write_bytes(base64.b64decode(shot["data"]))
