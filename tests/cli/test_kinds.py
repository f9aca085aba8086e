"""Agents and custom commands from the command line, with an agent that tells how it was called."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

import pytest

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine

AGENT = """#!/bin/sh
# Stands for any agent: tells how it was called, and whether it would take itself for nested.
printf 'called with:'; printf ' <%s>' "$@"; echo
env | grep -E '^(CLAUDE|CODEX|GEMINI|OPENCODE|AGENT|AI_AGENT|TMUX|STY|ZELLIJ)' || echo 'no guards'
echo "as $USER_SETTING"
read line
"""
FLAGS = {  # as the agents' manuals have them, written out again
    "claude": ("--dangerously-skip-permissions",),
    "codex": ("-c", "approval_policy=never", "-c", "sandbox_mode=workspace-write"),
    "gemini": ("--approval-mode=yolo",),
    "opencode": ("--auto",),
}
GUARDS = (
    "CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_SSE_PORT", "CLAUDE_CODE_SESSION_ID",
    "CLAUDE_CODE_CHILD_SESSION", "CLAUDE_CODE_EXECPATH", "CLAUDE_PID", "AI_AGENT",
    "CODEX_SANDBOX", "CODEX_SANDBOX_NETWORK_DISABLED", "CODEX_THREAD_ID", "CODEX_CI",
    "GEMINI_CLI", "GEMINI_CLI_NO_RELAUNCH", "OPENCODE", "OPENCODE_PID", "OPENCODE_TERMINAL",
    "AGENT", "TMUX", "TMUX_PANE", "STY", "ZELLIJ", "ZELLIJ_SESSION_NAME",
)  # fmt: skip


@pytest.fixture
def agents(loopsy: CommandLine) -> CommandLine:
    """A command line within an agent within a multiplexer, with fake agents on its PATH."""
    programs = loopsy.folder / "bin"
    programs.mkdir()
    for name in FLAGS:
        (programs / name).write_text(AGENT)
        (programs / name).chmod(0o755)
    loopsy.environment |= dict.fromkeys(GUARDS, "1")
    loopsy.environment |= {
        "PATH": f"{programs}:{loopsy.environment['PATH']}",
        "USER_SETTING": "their user has it",
    }
    return loopsy


def words(arguments: tuple[str, ...]) -> bytes:
    return "".join(f" <{word}>" for word in arguments).encode()


def test_agents_are_started_as_if_from_a_plain_terminal(agents: CommandLine) -> None:
    for name in FLAGS:
        screen = agents.on_terminal("shell", "--agent", name, "--", "--resume", cols=150)
        screen.expect(rb"called with: <--resume>\r\n")
        screen.expect(rb"no guards\r\nas their user has it")
        screen.type(b"\r")
        assert screen.exit_code() == 0
    listed = cast("list[dict[str, object]]", agents.json("list"))
    assert [(each["kind"], each["name"], each["auto_approve"]) for each in listed] == [
        (name, name, False) for name in FLAGS
    ]


def test_agents_are_told_to_ask_nothing_once_when_their_user_says_so(agents: CommandLine) -> None:
    for name, flags in FLAGS.items():
        screen = agents.on_terminal(
            "shell", "--agent", name, "--auto-approve", "--", "--resume", cols=150
        )
        screen.expect(b"called with:" + words((*flags, "--resume")) + b"\r\n")
        screen.expect(rb"no guards")
        screen.type(b"\r")
        assert screen.exit_code() == 0


def test_a_flag_that_the_user_gives_too_is_there_once(agents: CommandLine) -> None:
    flags = FLAGS["claude"]
    screen = agents.on_terminal(
        "shell", "--agent", "claude", "--auto-approve", "--", "--resume", *flags, cols=150
    )
    screen.expect(b"called with:" + words(("--resume", *flags)) + b"\r\n")
    screen.type(b"\r")
    assert screen.exit_code() == 0


def test_an_agent_is_found_where_the_daemon_finds_it_and_not_where_its_host_began(
    agents: CommandLine,
) -> None:
    path = agents.environment["PATH"]
    agents.environment["PATH"] = path.partition(":")[2]
    agents.session("cat")  # a host, and all it starts, without the agents
    agents.say("stop")
    agents.environment["PATH"] = path
    agents.say("start")
    agents.say("command", "add", "own", "--", "claude", "own")
    assert "Claude Code, Codex, Gemini, OpenCode" in agents.run("doctor", exit_code=None).stdout
    ask = (
        "import trio, loopsy_core\n"
        "from loopsy_core.wire import StartSession\n"
        "async def main():\n"
        "    async with loopsy_core.open_client() as here:\n"
        "        print((await here.start(['-v'], kind='claude', name='pet')).alive)\n"
        "        await here.ask(StartSession(command='own', name='dog'))\n"
        "trio.run(main)"
    )
    assert agents.spawn(sys.executable, "-c", ask).exit_code() == 0
    agents.on_terminal("attach", "pet").expect(b"called with: <-v>")
    agents.on_terminal("attach", "dog").expect(b"called with: <own>")
    agents.environment["PATH"] = path.partition(":")[2]  # of who asks from now on
    agents.on_terminal("shell", "--agent", "claude").expect(b"called with:")


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
