"""A phone in the browser tests: Debian's Chromium at a phone's size, and what a thumb does."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from playwright.sync_api import Browser, Page, expect, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

CHROMIUM: Final = "/usr/bin/chromium"
FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
PHONE: Final = (390, 844)
DESKTOP: Final = (1280, 800)
PATIENCE: Final = 30_000
"""Milliseconds for anything that the page shows."""


class Phone:
    """One page, and what it is asked to do."""

    def __init__(self, page: Page, pictures: Path) -> None:
        self.page = page
        self._pictures = pictures

    def pair(self, link: str, code: str) -> None:
        """Open a pairing link and type the code."""
        self.page.goto(link)
        self.type_code(code)

    def type_code(self, code: str) -> None:
        """Type a code on the pairing screen."""
        self.page.get_by_test_id("pair-code").fill(code)
        submit = self.page.get_by_test_id("pair-submit")
        if submit.is_enabled():
            submit.click()

    def open_shell(self, name: str) -> None:
        """Start a shell called `name` and wait for its prompt."""
        self.page.get_by_test_id("new-session").click()
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_test_id("start-session").click()
        expect(self.page.get_by_test_id("terminal")).to_be_visible()
        self.wait_for(lambda lines: any(line.strip() for line in lines), "a prompt")

    def type(self, text: str) -> None:
        """Type on the keyboard; a line feed is Enter."""
        self.page.get_by_test_id("terminal").click()
        self.page.keyboard.insert_text(text.rstrip("\n"))
        if text.endswith("\n"):
            self.page.keyboard.press("Enter")

    def lines(self) -> list[str]:
        """Return the terminal's lines, scrollback included."""
        lines: list[str] = self.page.evaluate("() => window.loopsyTerminal?.lines() ?? []")
        return lines

    def wait_for(self, found: Callable[[list[str]], bool], what: str) -> list[str]:
        """Wait until the terminal's lines satisfy `found`, and return them."""
        until = time.monotonic() + PATIENCE / 1000
        while True:
            lines = self.lines()
            if found(lines):
                return lines
            if time.monotonic() > until:
                raise AssertionError(f"no {what}; the last lines are {lines[-12:]}")
            self.page.wait_for_timeout(100)

    def picture(self, name: str) -> None:
        """Keep a screenshot, for a human eye."""
        self.page.screenshot(path=self._pictures / f"{name}.png")

    def resize(self, size: tuple[int, int]) -> None:
        """Turn into a screen of another size."""
        self.page.set_viewport_size({"width": size[0], "height": size[1]})


@contextmanager
def chromium() -> Generator[Browser]:
    """Run Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def phone(browser: Browser, pictures: Path, size: tuple[int, int] = PHONE) -> Generator[Phone]:
    """Open a fresh browser profile; any error in the page fails the test at the end."""
    kept = os.environ.get("LOOPSY_SCREENSHOTS")
    folder = Path(kept) if kept else pictures
    folder.mkdir(parents=True, exist_ok=True)
    errors: list[str] = []
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, has_touch=size == PHONE
    )
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    # A policy violation is only a message on the console, so it is looked for there.
    page.on(
        "console",
        lambda message: (
            errors.append(message.text) if "Content Security Policy" in message.text else None
        ),
    )
    try:
        yield Phone(page, folder)
    finally:
        context.close()
    assert not errors, errors
