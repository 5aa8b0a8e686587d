"""A headless Chromium for tests, as Debian installs it; nothing of a person's profile is touched, and no network is used."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--window-size=1280,1000",
)


def missing() -> str:
    """What a test in a browser lacks here, empty where nothing."""
    lacking = [path for path in (CHROMIUM, DRIVER) if not Path(path).is_file()]
    lacking += [] if importlib.util.find_spec("selenium") else ["selenium"]
    return f"not installed: {', '.join(lacking)}" if lacking else ""


@contextmanager
def browser() -> Iterator[Chrome]:
    """One browser with an empty profile, closed at the end."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    profile = tempfile.mkdtemp(prefix="bench-chromium-")
    options = ChromeOptions()
    options.binary_location = CHROMIUM
    for word in (*OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()
        shutil.rmtree(profile, ignore_errors=True)
