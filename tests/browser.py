"""Headless Chromium on the Prefect UI."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect_stack import await_true
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By


@contextmanager
def chromium(profile: Path, size: tuple[int, int] = (1280, 1000)) -> Iterator["Browser"]:
    """A browser with a fresh profile, which asks nobody but the page's own server."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for word in (
        "headless=new", "no-sandbox", "disable-gpu", "no-first-run", "disable-sync",
        "disable-background-networking", "disable-component-update", "disable-dev-shm-usage",
        f"user-data-dir={profile}", f"window-size={size[0]},{size[1]}",
        "host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    ):  # fmt: skip
        options.add_argument(f"--{word}")
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()


class Browser:
    """What a person does: open a page, wait for a text, read, click, take a picture."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str, *texts: str, seconds: float = 60) -> str:
        """Open a page and wait until it shows the texts; all of its text."""
        self.driver.get(url)
        return self.await_text(*texts, seconds=seconds)

    def await_text(self, *texts: str, seconds: float = 60) -> str:
        """Wait until the page shows the texts; all of its text."""
        shown = lambda: (found := self.text()) and all(one in found for one in texts) and found  # noqa: E731
        try:
            return await_true(f"{texts} at {self.driver.current_url}", shown, seconds)
        except AssertionError as exc:
            exc.add_note(f"the page says: {self.text()}")
            raise

    def text(self) -> str:
        """The page's text, as far as it is shown, its lines joined by blanks."""
        return " ".join(self.driver.find_element(By.TAG_NAME, "body").text.split())

    def click(self, text: str) -> None:
        """Click the first thing that reads so."""
        self.driver.find_element(By.XPATH, f"//*[normalize-space(text())='{text}']").click()

    def loaded_pictures(self) -> list[int]:
        """Widths in pixels of the data-URI pictures that the browser could decode."""
        return self.driver.execute_script(
            "return [...document.images].filter(i => i.src.startsWith('data:image/jpeg'))"
            ".map(i => i.naturalWidth)"
        )

    def picture(self, path: Path) -> None:
        """Take a screenshot."""
        self.driver.save_screenshot(str(path))
