"""Whatever a model calls tools with, it reads what is wrong, and the server lives on."""

from __future__ import annotations

import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Final, cast

import trio

from loopsy_core.client import start_daemon
from tests.core.node.machines_world import home_of
from tests.machine import running_node
from tests.mcp.agents_world import (
    PATIENCE,
    open_agent,
    open_two_machines,
    text_of,
)

if TYPE_CHECKING:
    from pathlib import Path

WRONG: Final[list[tuple[str, dict[str, object], str]]] = [
    ("execute", {}, "either `command`"),
    ("execute", {"command": "x", "job": "j1"}, "either `command`"),
    ("execute", {"command": ""}, "either `command`"),
    ("execute", {"command": [""]}, "empty"),
    ("execute", {"command": []}, "empty"),
    ("execute", {"command": 5}, "`command`"),
    ("execute", {"command": "x", "timeout": "soon"}, "`timeout`"),
    ("execute", {"command": "x", "timeout": -1}, "`timeout`"),
    ("execute", {"command": "x", "timeout": 1e9}, "`timeout`"),
    ("execute", {"command": "x", "frobnicate": True}, "`frobnicate`"),
    ("execute", {"command": "x", "max_chars": 1}, "`max_chars`"),
    ("execute", {"command": "x", "peer": "nobody"}, "there are: kai"),
    ("execute", {"command": ["/no/such/program"]}, "/no/such/program"),
    ("execute", {"command": "true", "cwd": "/no/such/folder"}, "/no/such/folder"),
    ("execute", {"command": "a\0b"}, "NUL"),
    ("execute", {"command": "rm -rf /tmp/x", "peer": "kai"}, "rm"),
    ("execute", {"job": "j99"}, "there is no job"),
    ("session_start", {"agent": "hal"}, "hal"),
    ("session_start", {"agent": "claude", "command": "x"}, "exclude"),
    ("session_start", {"args": ["x"]}, "agent's"),
    ("session_start", {"command": "x", "cols": 5000}, "`cols`"),
    ("session_read", {}, "`session`"),
    ("session_read", {"session": "none"}, "there are: s"),
    ("session_read", {"session": "s", "after": "junk"}, "no position"),
    ("session_read", {"session": "s", "after": "a:b"}, "no position"),
    ("session_write", {"session": "s"}, "nothing to type"),
    ("session_write", {"session": "s", "keys": "<Foo>"}, "<Enter>"),
    ("session_wait", {"session": "s", "pattern": "("}, "pattern"),
    ("session_wait", {"session": "s", "pattern": "(?=x)"}, "no lookaround"),
    ("context_set", {"key": "", "value": "x"}, "`key`"),
    ("context_set", {"key": "k" * 513, "value": "x"}, "`key`"),
    ("context_set", {"key": "k"}, "`value`"),
    ("context_get", {"key": "k", "newer_than": "x"}, "`newer_than`"),
    ("send_message", {"to": "nobody", "body": "x"}, "there are: kai"),
    ("send_message", {"to": "kai", "body": ""}, "`body`"),
    ("send_message", {"to": "kai", "body": "x", "type": "shout"}, "one of: chat, request"),
    ("check_ack", {"id": "never"}, "never"),
    ("ack_message", {"id": "never"}, "never"),
    ("task_list", {"wait": 5}, "`id`"),
    ("task_list", {"id": "never"}, "never"),
    ("task_complete", {"id": "never"}, "has not taken"),
    ("task_complete", {"id": "never", "state": "maybe"}, "`state`"),
    ("list_peers", {"peer": "kai"}, "It takes none"),
    ("frobnicate", {}, "loopsy_execute"),
]


async def test_wrong_calls_are_answered_by_what_is_wrong(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            await agent.data("session_start", command="exec sleep 1000", name="s")
            for tool, arguments, word in WRONG:
                said = await agent.complaint(tool, **arguments)
                assert word in said, (tool, arguments, said)
                assert "bug in Loopsy" not in said
            assert (await agent.data("execute", command="echo alive"))["stdout"] == "alive\n"


async def test_a_model_may_say_null_or_nothing_for_what_it_leaves_out(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            done = await agent.data("execute", command="true", peer=None, cwd=None, timeout="30")
            assert done["exit_code"] == 0
            empty = {"job": "", "peer": "", "cwd": "", "stdin": ""}
            done = await agent.data("execute", command="echo hi", **empty)
            assert (done["stdout"], done["machine"]) == ("hi\n", "desk")
            assert (await agent.data("execute", command="true", peer=" KAI "))["machine"] == "kai"


async def test_binary_output_is_told_of(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            ran = await agent.data("execute", command="printf 'PK\\003\\004\\000\\000'; exit 1")
            assert ran["stdout"] == "[6 bytes that are no text, beginning with 504b03040000]"


async def test_a_pattern_that_never_ends_does_not_hold_up_anything(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            line = "a" * 4000
            await agent.data("session_start", command=f"echo {line}; exec sleep 1000", name="s")
            waited = await agent.data(
                "session_wait", session="s", pattern="(a|aa)+$x|(a+)+b", after="0", timeout=1
            )
            assert waited["why"] == "timeout"


async def test_hundreds_of_calls_at_once_are_all_answered(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            answers: list[bool] = []

            async def ask(number: int) -> None:
                result = await agent.call("execute", command=f"echo {number}", peer="kai")
                answers.append(result.is_error)
                if result.is_error:
                    assert "try again when one has ended" in text_of(result)

            async with trio.open_nursery() as nursery:
                for number in range(300):
                    nursery.start_soon(ask, number)
            assert len(answers) == 300
            assert not all(answers)


async def test_every_call_that_waits_can_be_cancelled_and_takes_nothing_along(
    tmp_path: Path,
) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_agent(desk.home) as agent:
            await agent.data("session_start", command="exec cat", name="s")
            task = await agent.data("task_add", body="x", peer="kai")
            waiting: list[tuple[str, dict[str, object]]] = [
                ("session_wait", {"session": "s", "pattern": "never"}),
                ("check_inbox", {"wait": 60}),
                ("task_claim", {"wait": 60}),
                ("task_list", {"id": task["id"], "wait": 60, "peer": "kai"}),
                ("context_get", {"key": "never", "wait": 60}),
                ("execute", {"command": "sleep 1000", "timeout": 60}),
            ]
            for tool, arguments in waiting:
                with trio.move_on_after(1) as patience:
                    await agent.call(tool, **arguments)
                assert patience.cancelled_caught, tool
            assert (await agent.data("execute", command="echo alive"))["stdout"] == "alive\n"
            await agent.data("task_add", body="y")
            claimed = await agent.data("task_claim", wait=20)
            assert cast("dict[str, object]", claimed["task"])["body"] == "y"


async def test_a_daemon_that_is_killed_costs_the_calls_that_wait_and_no_more(
    tmp_path: Path,
) -> None:
    home = home_of(tmp_path, "desk")
    with trio.fail_after(PATIENCE):
        async with open_agent(home) as agent:
            pid = await start_daemon(home)
            await agent.data("session_start", command="exec cat", name="s")
            await agent.data("context_set", key="k", value="kept")
            complaints: list[str] = []

            async def wait(tool: str, **arguments: object) -> None:
                complaints.append(await agent.complaint(tool, **arguments))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(wait, "check_inbox", wait=50))
                nursery.start_soon(partial(wait, "task_claim", wait=50))
                nursery.start_soon(partial(wait, "context_get", key="never", wait=50))
                nursery.start_soon(partial(wait, "session_wait", session="s", pattern="never"))
                await trio.sleep(2)  # on their way to the node, and waiting there
                os.kill(pid, signal.SIGKILL)
                await trio.to_thread.run_sync(os.waitpid, pid, 0)
            assert len(complaints) == 4
            assert not [said for said in complaints if "bug in Loopsy" in said], complaints
            assert "`loopsy start`" in await agent.complaint("list_peers")
            async with running_node(home):
                assert (await agent.data("context_get", key="k"))["value"] == "kept"
                await agent.data("session_write", session="s", text="hello\n")
                waited = await agent.data("session_wait", session="s", pattern="hello", after="0")
                assert waited["why"] == "matched"
