"""The examples run as a user would run them, and the pages that show them show what runs."""

from __future__ import annotations

import os
import re
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import trio

from loopsy_core.client import open_client, start_daemon
from tests.machine import running_node, temporary_home

if TYPE_CHECKING:
    import subprocess

    from loopsy_core.client import Client
    from loopsy_core.home import Home

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = ROOT / "examples"
PAGES: Final = [ROOT / "docs" / "python.md", ROOT / "README.md"]
PATIENCE: Final = 60.0


async def run(
    home: Home, example: str, *arguments: str, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run an example to its end."""
    return await trio.run_process(
        [sys.executable, str(EXAMPLES / example), *arguments],
        env={**os.environ, "LOOPSY_HOME": str(home.root)},
        stdin=stdin,
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )


async def ran(
    example: str, *arguments: str, stdin: bytes = b""
) -> tuple[subprocess.CompletedProcess[bytes], list[tuple[str, bool, int | None]]]:
    """Run an example beside a node of its own; return also name, life and exit of each session."""
    with trio.fail_after(PATIENCE), temporary_home() as home:
        async with running_node(home) as client:
            done = await run(home, example, *arguments, stdin=stdin)
            return done, await fates(client)


async def fates(client: Client) -> list[tuple[str, bool, int | None]]:
    return [(each.name, each.alive, each.exit_code) for each in await client.sessions()]


async def test_a_command_is_watched_to_its_end() -> None:
    script = "echo made-$((40+2)); exit 7"
    done, sessions = await ran("watch_a_command.py", "build", "sh", "-c", script)
    assert done.returncode == 7
    assert b"made-42" in done.stdout
    assert sessions == [("build", False, 7)]


async def test_a_build_tells_of_its_errors() -> None:
    script = "echo fine; echo 'a.c:3: error: no'; echo more; echo 'b.c:9: error: never'; exit 2"
    done, sessions = await ran("watch_a_build.py", "sh", "-c", script)
    assert done.stdout.splitlines() == [
        b"! a.c:3: error: no",
        b"! b.c:9: error: never",
        b"2 errors, exit code 2",
    ]
    assert done.returncode == 2
    assert sessions == [("build", False, 2)]


INSTALLER: Final = """
printf 'Do you accept the licence (yes/no)? '; read a
stty -echo; printf 'Password: '; read b; stty echo; echo
printf 'Install to /opt/thing? '; read c
printf 'Features [1-9]: '; read d
test "$a/$b/$c/$d" = 'yes/secret//1,3'
"""


async def test_an_installer_is_answered() -> None:
    done, [session] = await ran("answer_an_installer.py", "sh", "-c", INSTALLER, stdin=b"secret\n")
    assert done.returncode == 0, done.stderr
    assert session[1:] == (False, 0)


async def test_a_repl_is_kept_for_the_next_time() -> None:
    with trio.fail_after(PATIENCE), temporary_home() as home:
        async with running_node(home) as client:
            first = await run(home, "use_a_repl.py", "x = 6", "x * 7")
            second = await run(home, "use_a_repl.py", "x + 1", "print('a'); print('b')")
            sessions = await fates(client)
    assert first.stdout.split(b"\n") == [b">>> x = 6", b">>> x * 7", b"42", b""], first.stderr
    assert second.stdout.splitlines()[:2] == [b">>> x + 1", b"7"]
    assert second.stdout.splitlines()[-2:] == [b"a", b"b"]
    assert sessions == [("repl", True, None)]


async def test_several_commands_run_at_once() -> None:
    done, sessions = await ran("several_at_once.py", "true", "echo hello", "sleep 0.1")
    assert sorted(done.stdout.splitlines()) == [
        b"echo hello: done",
        b"sleep 0.1: done",
        b"true: done",
    ]
    assert {session[1:] for session in sessions} == {(False, 0)}


async def test_the_first_of_several_that_fails_ends_them_all() -> None:
    failing = "sh -c 'echo no such luck; exit 3'"
    done, sessions = await ran("several_at_once.py", "sleep 1000", failing)
    assert done.returncode == 1
    assert b"exit code 3" in done.stderr
    assert b"no such luck" in done.stderr
    assert sorted((name, code) for name, _, code in sessions) == [("sh", 3), ("sleep", -1)]


async def test_a_restart_of_the_daemon_is_survived(home: Home) -> None:
    with trio.fail_after(PATIENCE):
        first = await start_daemon(home)
        done = await run(home, "survive_a_restart.py")
        await trio.to_thread.run_sync(os.waitpid, first, 0)  # it has ended: another one runs now
        async with open_client(home) as client:
            assert await fates(client) == [("sh", False, -1)]
    assert b"line 22: after" in done.stdout, done.stderr


AGENT: Final = """#!/bin/sh
ask() { printf 'Do you want to run `%s`? ' "$1"; read answer; echo "($answer)"; }
echo "My task: $1"
ask 'pytest -x'; ask 'git status'; ask "$LAST"
echo 'Task done: all is green.'
sleep 1000
"""


@pytest.mark.parametrize(
    ("last", "outcome"),
    [
        ("ruff check", b"Task done: all is green."),
        ("rm -rf build", b"It waits for your word: may it run rm -rf build?"),
    ],
)
async def test_an_agent_may_do_what_is_on_the_list(
    last: str, outcome: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = tmp_path / "claude"
    agent.write_text(AGENT)
    agent.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("LAST", last)
    done, sessions = await ran("supervise_an_agent.py", "claude", "Make it green")
    assert done.stdout.splitlines()[-1] == outcome, done.stderr
    assert done.stdout.splitlines()[:2] == [b"allowed: pytest -x", b"allowed: git status"]
    assert sessions == [("agent", True, None)]


@pytest.mark.parametrize(
    ("example", "arguments"),
    [
        ("watch_a_command.py", ["x", "true"]),
        ("watch_a_build.py", ["true"]),
        ("answer_an_installer.py", ["true"]),
        ("use_a_repl.py", ["1"]),
        ("several_at_once.py", ["true"]),
        ("survive_a_restart.py", []),
        ("supervise_an_agent.py", ["claude", "x"]),
        ("pipeline.py", ["write", "kai", "a haiku"]),
        ("build_farm.py", ["build", "true"]),
        ("roll_call.py", []),
    ],
)
async def test_without_a_node_an_example_says_so(example: str, arguments: list[str]) -> None:
    with trio.fail_after(PATIENCE), temporary_home() as home:
        done = await run(home, example, *arguments, stdin=b"\n")
    assert done.returncode == 1
    assert b"loopsy start" in done.stderr
    assert b"Traceback" not in done.stderr


def test_every_example_is_run_here_and_shown_in_the_page() -> None:
    page = PAGES[0].read_text()
    here = Path(__file__).read_text() + Path(__file__).with_name("test_fleet.py").read_text()
    for example in sorted(path.name for path in EXAMPLES.glob("*.py")):
        assert here.count(f'"{example}"') >= 2, example
        assert f"(../examples/{example})" in page, example


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_in_the_pages_is_what_the_examples_run(page: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    files = [path.read_text() for path in EXAMPLES.glob("*.py")]
    assert blocks
    for block in blocks:
        inside = textwrap.indent(block, "    ")  # of a function
        assert any(block in file or inside in file for file in files), block
