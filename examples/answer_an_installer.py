"""Answers the questions of an interactive installer, as somebody at its terminal would.

    python examples/answer_an_installer.py ./install.sh

What it asks in another order, or not at all, is fine; what nobody has an answer to ends it.
"""

from __future__ import annotations

import sys
from getpass import getpass

import trio
from pexpect import EOF, TIMEOUT

from loopsy_core import LoopsyError, open_client

ANSWERS = {
    r"(?i)accept the licen[cs]e.*\? ": "yes",
    r"(?i)install (in)?to .*\? ": "",  # Enter: what it proposes
    r"(?i)features .*: ": "1,3",
}
PASSWORD = r"(?i)password.*: "


async def install(command: list[str], password: str) -> int:
    """Run `command`, answer what it asks, and return its exit code."""
    questions = list(ANSWERS)
    async with open_client() as here, here.start_session(command) as session:
        while True:
            found = await session.expect([EOF, TIMEOUT, PASSWORD, *questions], timeout=20)
            if found == 0:
                code = await session.wait_ended()
                return 1 if code is None else code
            if found == 1:
                sys.exit(f"it waits for something else:\n{await session.screen()}")
            await session.send_line(password if found == 2 else ANSWERS[questions[found - 3]])


if __name__ == "__main__":
    secret = getpass("Password for the installer: ") if sys.stdin.isatty() else input()
    try:
        sys.exit(trio.run(install, sys.argv[1:], secret))
    except LoopsyError as error:
        sys.exit(str(error))
