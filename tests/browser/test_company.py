"""Two screens at one session; agents and commands started from the page; every part is real."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.phone import DESKTOP, PATIENCE, Phone, chromium, phone
from tests.browser.up import end_everything, loopsy, up

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

pytestmark = pytest.mark.browser

NARROW = 60
"""Columns that no phone has."""


@pytest.fixture
def home(tmp_path: Path) -> Generator[Path]:
    """A home that does not exist yet; whatever lives in it is ended."""
    place = tmp_path / "home"
    yield place
    end_everything(place)


def test_two_phones_see_each_other_and_hand_the_size_over(home: Path, tmp_path: Path) -> None:
    with chromium() as browser, up(home) as running:
        offer = json.loads(loopsy(home, "mobile", "pair", "--json"))
        with phone(browser, tmp_path) as small:
            small.pair(running.pair_url, running.code)
            small.open_shell("shared")
            expect(small.page.get_by_test_id("claim")).to_have_count(0)
            with phone(browser, tmp_path, DESKTOP) as large:
                large.pair(offer["pair_url"], offer["code"])
                large.page.get_by_test_id("session-row").first.click()
                expect(large.page.get_by_test_id("viewers")).to_have_text("2 viewers")
                expect(small.page.get_by_test_id("status")).to_contain_text("joined")
                small.picture("phone-joined")
                # Not before: the page may still be finding out how much fits.
                large.wait_for(
                    lambda _: columns(large) == columns(small) < NARROW, "the owner's size"
                )
                width = columns(small)
                large.picture("desktop-letterboxed")

                large.page.get_by_test_id("claim").click()
                large.wait_for(lambda _: columns(large) > 2 * width, "a size of its own")
                expect(large.page.get_by_test_id("claim")).to_have_count(0)
                small.wait_for(lambda _: columns(small) == columns(large), "the other's size")
                expect(small.page.get_by_test_id("claim")).to_be_visible()
                large.type("clear; printf '%0200d\\n' 7\n")
                small.wait_for(lambda lines: any(line.endswith("07") for line in lines), "output")
                large.picture("desktop-owner")
                small.picture("phone-panned")
                assert sees_the_cursor(small)

                small.type("echo mine-$((1+1))\n")  # whoever types last owns the size
                small.wait_for(lambda _: columns(small) == width, "its own size again")
                small.wait_for(lambda lines: "mine-2" in lines, "what was typed")

                large.page.get_by_test_id("claim").click()
                small.wait_for(lambda _: columns(small) > 2 * width, "the other's size")
                small.page.get_by_test_id("viewers").click()
                expect(small.page.get_by_test_id("viewer-names").locator("li")).to_have_count(2)
                small.picture("phone-viewers")
                small.page.get_by_role("button", name="Close").click()
                large.page.get_by_test_id("back").first.click()
                small.wait_for(lambda _: columns(small) == width, "the size after the owner left")
                expect(small.page.get_by_test_id("status")).to_contain_text("left")
                expect(small.page.get_by_test_id("viewers")).to_have_count(0)


def test_an_agent_starts_once_the_machines_user_has_confirmed(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    agent = programs / "claude"
    agent.write_text('#!/bin/sh\necho "agent:$*:"\nexec cat\n')
    agent.chmod(0o755)
    # Nothing but what a shell needs: no other agent is to be found.
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    with chromium() as browser, phone(browser, tmp_path) as thumb, up(home) as running:
        loopsy(home, "command", "add", "greet", "echo", "hello-from-a-tap")
        page = thumb.page
        thumb.pair(running.pair_url, running.code)
        page.get_by_test_id("new-session").click()
        expect(page.get_by_test_id("kind-codex")).to_be_disabled()
        page.locator("label", has=page.get_by_test_id("kind-claude")).click()
        expect(page.get_by_test_id("auto-approve")).not_to_be_checked()
        page.get_by_test_id("auto-approve").check()
        thumb.picture("phone-new-agent")

        page.get_by_test_id("start-session").click()
        expect(page.get_by_test_id("confirming")).to_contain_text("loopsy approve")
        thumb.picture("phone-confirming")
        assert len(waiting(home, 1)) == 1
        page.get_by_test_id("cancel-start").click()
        assert waiting(home, 0) == [], "who cancels is not asked about any longer"

        page.locator("label", has=page.get_by_test_id("kind-claude")).click()
        page.get_by_test_id("start-session").click()
        [request] = waiting(home, 1)
        loopsy(home, "approve", request["id"])
        expect(page.get_by_test_id("terminal")).to_be_visible(timeout=PATIENCE)
        thumb.wait_for(
            lambda lines: any("agent:--dangerously" in line for line in lines), "the agent"
        )
        page.get_by_test_id("back").click()
        expect(page.get_by_test_id("session-row")).to_contain_text("auto-approve")

        page.get_by_test_id("new-session").click()
        page.get_by_test_id("command").click()
        thumb.wait_for(lambda lines: "hello-from-a-tap" in lines, "the command's output")
        expect(page.get_by_test_id("ended")).to_contain_text("exit 0")
        page.get_by_test_id("back").click()
        expect(page.get_by_test_id("exit")).to_have_text("exit 0")
        thumb.picture("phone-kinds-of-sessions")


def columns(thumb: Phone) -> int:
    """Return how many columns the terminal has that a phone shows."""
    count: int = thumb.page.evaluate("() => window.loopsyTerminal?.cols ?? 0")
    return count


def sees_the_cursor(thumb: Phone) -> bool:
    """Whether the row of the cursor lies within what the frame shows."""
    seen: bool = thumb.page.evaluate(
        """() => {
            const place = (what) => document.querySelector(what).getBoundingClientRect();
            const frame = place('[data-testid="terminal"]');
            const area = place(".xterm-helper-textarea");
            return area.top >= frame.top - 1 && area.top < frame.bottom;
        }"""
    )
    return seen


def waiting(home: Path, count: int) -> list[dict[str, str]]:
    """Return who waits for the machine's user, once there are `count` of them."""
    until = time.monotonic() + PATIENCE / 1000
    while True:
        requests: list[dict[str, str]] = json.loads(loopsy(home, "approve", "--json"))
        if len(requests) == count:
            return requests
        assert time.monotonic() < until, f"{len(requests)} wait instead of {count}"
