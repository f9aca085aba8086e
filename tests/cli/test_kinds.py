"""Agents and custom commands from the command line, with an agent that tells how it was called."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine

AGENT = """#!/bin/sh
echo "called with: $*"
env | grep -E '^(CLAUDECODE|CLAUDE_CODE_ENTRYPOINT|TMUX)=' || echo 'no guards'
read line
"""


@pytest.fixture
def agent(loopsy: CommandLine) -> CommandLine:
    """A command line that has a fake agent on its PATH."""
    program = loopsy.folder / "bin" / "claude"
    program.parent.mkdir()
    program.write_text(AGENT)
    program.chmod(0o755)
    path = loopsy.environment["PATH"]
    loopsy.environment |= {
        "PATH": f"{program.parent}:{path}",
        "CLAUDECODE": "1",
        "CLAUDE_CODE_ENTRYPOINT": "cli",
        "TMUX": "/tmp/tmux,1,0",
    }
    return loopsy


def test_an_agent_is_started_as_if_from_a_plain_terminal(agent: CommandLine) -> None:
    screen = agent.on_terminal("shell", "--agent", "claude", "--", "--resume")
    screen.expect(rb"called with: --resume")
    screen.expect(rb"no guards")
    [session] = cast("list[dict[str, object]]", agent.json("list"))
    assert (session["kind"], session["name"], session["auto_approve"]) == (
        "claude",
        "claude",
        False,
    )
    screen.type(b"\r")
    assert screen.exit_code() == 0


def test_an_agent_is_told_to_ask_nothing_when_its_user_says_so(agent: CommandLine) -> None:
    screen = agent.on_terminal("shell", "--agent", "claude", "--auto-approve")
    screen.expect(rb"called with: --dangerously-skip-permissions")
    screen.type(b"\r")
    assert screen.exit_code() == 0


def test_custom_commands_are_kept_listed_started_and_forgotten(loopsy: CommandLine) -> None:
    loopsy.say("start")
    assert "there is no custom command" in loopsy.say("command", "list")
    loopsy.say("command", "add", "greet", "--cwd", "/", "--", "sh", "-c", "pwd; echo 'a b'; read x")
    assert loopsy.json("command", "list") == [
        {"name": "greet", "argv": ["sh", "-c", "pwd; echo 'a b'; read x"], "cwd": "/"}
    ]
    loopsy.say("restart")
    assert "greet" in loopsy.say("command", "list")
    screen = loopsy.on_terminal("shell", "--custom", "greet")
    screen.expect(rb"a b")
    screen.type(b"\r")
    assert screen.exit_code() == 0
    loopsy.say("command", "remove", "greet")
    assert "no custom command" in loopsy.complaint("command", "remove", "greet", exit_code=5)


def test_a_command_without_words_is_explained(loopsy: CommandLine) -> None:
    loopsy.say("start")
    assert "there is no command" in loopsy.complaint("command", "add", "x", exit_code=2)


def test_nobody_waits_for_an_answer_at_first(loopsy: CommandLine) -> None:
    loopsy.say("start")
    assert "no device waits" in loopsy.say("approve")
    assert loopsy.json("approve") == []
    assert "no wish 'pixel' waits" in loopsy.complaint("approve", "pixel", exit_code=5)
