"""Runs a build in a session, tells of each error as it comes, and how it ended.

    python examples/watch_a_build.py make -j8

The build has a terminal of its own: `loopsy attach build` shows all of it meanwhile.
"""

from __future__ import annotations

import sys

import trio
from pexpect import EOF

from loopsy_core import LoopsyError, open_client

ERROR = r"[^\r\n]*\berror\b[^\r\n]*\r\n"


async def build(command: list[str]) -> int:
    """Run `command` as the session `build`; return its exit code."""
    errors = 0
    async with open_client() as here, here.start_session(command, name="build") as session:
        while await session.expect([ERROR, EOF], timeout=3600) == 0:
            errors += 1
            print("!", str(session.after).strip())
        code = await session.wait_ended()
    print(f"{errors} errors, exit code {code}")
    return 1 if code is None else abs(code)


if __name__ == "__main__":
    try:
        sys.exit(trio.run(build, sys.argv[1:] or ["make"]))
    except LoopsyError as error:
        sys.exit(str(error))
