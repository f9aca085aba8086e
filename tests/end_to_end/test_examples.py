"""The examples run as a user would run them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import trio

from tests.machine import running_node, temporary_home

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE = 60.0


async def test_a_command_is_watched_to_its_end() -> None:
    with trio.fail_after(PATIENCE), temporary_home() as home:
        async with running_node(home) as client:
            done = await trio.run_process(
                [
                    sys.executable,
                    str(EXAMPLES / "watch_a_command.py"),
                    "build",
                    "sh",
                    "-c",
                    "echo made-$((40+2)); exit 7",
                ],
                env={**os.environ, "LOOPSY_HOME": str(home.root)},
                capture_stdout=True,
                check=False,
            )
            (session,) = await client.sessions()
    assert done.returncode == 7
    assert b"made-42" in done.stdout
    assert (session.name, session.alive, session.exit_code) == ("build", False, 7)


async def test_without_a_node_an_example_says_so() -> None:
    with trio.fail_after(PATIENCE), temporary_home() as home:
        done = await trio.run_process(
            [sys.executable, str(EXAMPLES / "watch_a_command.py"), "x", "true"],
            env={**os.environ, "LOOPSY_HOME": str(home.root)},
            capture_stderr=True,
            check=False,
        )
    assert done.returncode == 1
    assert b"loopsy start" in done.stderr
    assert b"Traceback" not in done.stderr
