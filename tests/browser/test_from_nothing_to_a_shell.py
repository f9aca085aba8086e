"""What a user does first, with every real part: up, pair, type, lose the network, revoke.

Screenshots are kept in the folder that LOOPSY_SCREENSHOTS names, to be looked at.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.phone import DESKTOP, PATIENCE, PHONE, Phone, chromium, phone
from tests.browser.up import end_everything, loopsy, up

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

pytestmark = pytest.mark.browser

# About five seconds of output, so that the cut comes in its middle.
SEQ = (
    "clear; seq 1 200000 | awk '{ print } NR % 1000 == 0 { fflush(); system(\"sleep 0.02\") }';"
    " echo all-$((40+2))-done\n"
)

# Every colour at once, as a line of spaces.
RAINBOW = (
    "for i in $(seq 0 71); do"
    " printf '\\e[48;2;%d;%d;%dm ' $((i*3)) $((215-i*3)) $((120+i)); done; printf '\\e[0m\\n'"
)


@pytest.fixture
def home(tmp_path: Path) -> Generator[Path]:
    """A home that does not exist yet; whatever lives in it is ended."""
    place = tmp_path / "home"
    yield place
    end_everything(place)


def test_a_shell_in_the_browser_from_pairing_to_revoking(home: Path, tmp_path: Path) -> None:
    with chromium() as browser, phone(browser, tmp_path) as thumb:
        page = thumb.page
        with up(home) as first:
            wrong = "0000" if first.code != "0000" else "1111"
            thumb.pair(first.pair_url, wrong)
            expect(page.get_by_test_id("pair-error")).to_contain_text("2 tries left")
            secret = first.pair_url.rpartition(",")[2]
            assert secret not in page.url, "the secret does not stay in the address bar"
            thumb.picture("phone-wrong-code")
            thumb.type_code(first.code)
            expect(page.get_by_test_id("sessions")).to_be_visible()
            _want_long_scrollback(thumb)

            thumb.open_shell("work")
            thumb.type("echo $((6*7))\n")
            thumb.wait_for(lambda lines: "42" in lines, "42")
            thumb.picture("phone-shell")

            if shutil.which("vim"):
                thumb.type("vim -u NONE -i NONE\n")
                thumb.wait_for(lambda lines: lines.count("~") > 5, "vim")
                thumb.picture("phone-vim")
                thumb.type(":q!\n")
                thumb.wait_for(lambda lines: "42" in lines and "~" not in lines, "the shell again")

            thumb.type(SEQ)
            thumb.wait_for(lambda lines: "5000" in lines, "output")
            first.kill()
            expect(page.get_by_test_id("status")).to_have_attribute(
                "data-state", "reconnecting", timeout=PATIENCE
            )
            thumb.picture("phone-reconnecting")
            time.sleep(2)  # the output goes on while nobody can see it

        with up(home, first.port):
            lines = thumb.wait_for(lambda lines: "all-42-done" in lines, "the end of the output")
            counts = Counter(line for line in lines if line.isdigit())
            expected = [str(number) for number in range(1, 200_001)]
            assert [line for line in lines if line.isdigit()] == expected, _odd(counts)
            thumb.picture("phone-after-the-cut")

            thumb.resize(DESKTOP)
            thumb.type(f"clear; ls -l --color=always /usr; {RAINBOW}\n")
            thumb.wait_for(lambda lines: any("share" in line for line in lines), "a listing")
            thumb.picture("desktop-shell")
            page.get_by_test_id("back").first.click()
            expect(page.get_by_test_id("session-row")).to_have_count(1)
            thumb.picture("desktop-sessions")
            thumb.resize(PHONE)
            thumb.picture("phone-sessions")
            page.get_by_test_id("session-row").first.click()
            expect(page.get_by_test_id("terminal")).to_be_visible()

            (paired,) = json.loads(loopsy(home, "phone", "list", "--json"))
            assert paired["connected"]
            loopsy(home, "phone", "revoke", paired["id"])
            expect(page.get_by_test_id("refused")).to_be_visible(timeout=3000)
            thumb.picture("phone-revoked")
            assert json.loads(loopsy(home, "phone", "list", "--json")) == []
            (session,) = json.loads(loopsy(home, "list", "--json"))
            assert session["alive"], "revoking a phone ends no session"


def test_a_phone_that_fell_far_behind_shows_the_exact_screen(home: Path, tmp_path: Path) -> None:
    with chromium() as browser, phone(browser, tmp_path) as thumb, up(home) as running:
        thumb.pair(running.pair_url, running.code)
        thumb.open_shell("flood")
        # Far more than the host keeps for resuming, and the page must not stall meanwhile.
        thumb.type("head -c 30000000 /dev/zero | base64; clear; printf 'the-%s\\n' end\n")
        thumb.wait_for(lambda lines: "the-end" in lines, "the end of the flood")
        lines = [line for line in thumb.lines() if line.strip()]
        assert lines.count("the-end") == 1
        thumb.type("echo still-$((1+1))-here\n")
        thumb.wait_for(lambda lines: "still-2-here" in lines, "an answer after the flood")


def test_two_screens_show_one_session_and_forgetting_ends_one_pairing(
    home: Path, tmp_path: Path
) -> None:
    with chromium() as browser, up(home) as running:
        offer = json.loads(loopsy(home, "mobile", "pair", "--json"))
        with phone(browser, tmp_path) as one, phone(browser, tmp_path, DESKTOP) as two:
            one.pair(running.pair_url, running.code)
            one.open_shell("shared")
            two.pair(offer["pair_url"], offer["code"])
            two.page.get_by_test_id("session-row").first.click()
            one.type("echo from-$((2+3))\n")
            two.wait_for(lambda lines: "from-5" in lines, "what the other typed")
            two.type("echo back-$((3+4))\n")
            one.wait_for(lambda lines: "back-7" in lines, "what the other typed")

            assert len(json.loads(loopsy(home, "phone", "list", "--json"))) == 2
            two.page.get_by_test_id("back").first.click()
            two.page.get_by_test_id("settings").click()
            two.page.get_by_test_id("forget").click()
            two.page.get_by_test_id("confirm").click()
            expect(two.page.get_by_test_id("welcome")).to_be_visible()
            one.page.wait_for_timeout(1500)
            assert len(json.loads(loopsy(home, "phone", "list", "--json"))) == 1
            one.type("echo alone-$((4+4))\n")
            one.wait_for(lambda lines: "alone-8" in lines, "an answer")


def _want_long_scrollback(thumb: Phone) -> None:
    """Set the scrollback so that all of a long output can be read back."""
    page = thumb.page
    page.get_by_test_id("settings").click()
    page.get_by_test_id("scrollback").fill("250000")
    page.get_by_test_id("scrollback").blur()
    thumb.picture("phone-settings")
    page.get_by_test_id("back").first.click()


def _odd(counts: Counter[str]) -> str:
    doubled = [line for line, count in counts.items() if count > 1][:5]
    missing = [n for n in range(1, 200_001) if str(n) not in counts][:5]
    return f"doubled: {doubled}, missing: {missing}"
