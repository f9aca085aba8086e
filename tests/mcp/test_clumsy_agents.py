"""What agents do to a server that write their lines by themselves, or are not there any more."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Final, cast

import pytest
import trio

from loopsy_core.client import start_daemon
from tests.core.node.machines_world import home_of, open_machine
from tests.machine import running_node
from tests.mcp.agents_world import PATIENCE, open_line, open_two_machines, wait_jobs

LISTED: Final = "notifications/resources/list_changed"
NO_MESSAGES: Final[list[tuple[bytes, int | None, int]]] = [
    (b"hello", None, -32700),
    (b"\xff\xfe\x00", None, -32700),
    (b"[" * 5000, None, -32700),
    (b'[{"jsonrpc": "2.0", "id": 7, "method": "ping"}]', None, -32600),
    (b'{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": [1]}', 7, -32600),
    (b'{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {}}', 7, -32602),
    (b'{"jsonrpc": "2.0", "id": 7, "method": "frobnicate"}', 7, -32601),
    (b'{"jsonrpc": "2.0", "id": null, "method": "tools/list"}', None, -32600),
    (b'{"jsonrpc": "2.0", "id": 1.5, "method": "tools/list"}', None, -32600),
    (b'{"jsonrpc": "2.0", "method": "tools/list"}', None, -32600),
    (b"x" * 50_000_000, None, -32700),
]


async def test_whoever_says_what_is_no_message_gets_an_answer_and_the_server_lives_on(
    tmp_path: Path,
) -> None:
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "desk") as desk, open_line(desk.home) as line:
            for said, asker, code in NO_MESSAGES:
                await line.say(said)
                answer = await line.hear()
                assert answer["id"] == asker, (said, answer)
                assert cast("dict[str, object]", answer["error"])["code"] == code
            # What asks nothing gets no answer.
            for said in (b"", b" \r", b'{"jsonrpc": "2.0", "id": 99, "result": {}}'):
                await line.say(said)
            for params in ({"requestId": 12_345}, {"requestId": {}}, {}, None):
                said = {"method": "notifications/cancelled", "params": params}
                await line.say(json.dumps({"jsonrpc": "2.0", **said}).encode())
            await line.say(b'{"jsonrpc": "2.0", "method": "notifications/frobnicated"}')
            assert '"stdout": "alive' in await line.call("execute", command="echo alive")


async def test_half_an_emoji_is_taken_for_a_character_that_is_unknown(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "desk") as desk, open_line(desk.home) as line:
            await line.call("context_set", key="k", value="whole \U0001f600, half \ud83d")
            entry = await desk.client.context.get("k")
            assert entry is not None
            assert entry.value == "whole \U0001f600, half \ufffd"


async def test_arguments_of_any_size_and_depth_are_answered(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "desk") as desk, open_line(desk.home) as line:
            for tool, arguments, word in (
                ("context_set", {"key": "k", "value": "x" * 50_000_000}, "length <= 1048576"),
                ("execute", {"command": "x" * 3_000_000}, "too large"),
                ("execute", {"command": nested(200)}, "Expected `str`"),
                ("execute", {"command": "true", "env": nested(200)}, "`env`"),
                ("session_start", {"command": "cat", "name": "a\0b"}, "printable"),
                ("transfer_file", {"peer": "x", "paths": "a"}, "`paths`"),
                ("execute", {"command": "true", "peer": "kai"}, "none is paired"),
            ):
                said = await line.call(tool, **arguments)
                assert '"isError": true' in said, said[:1000]
                assert word in said, said[:1000]
            sent = await line.call("execute", command="wc -c", stdin="x" * 50_000_000)
            assert '"stdout": "50000000' in sent


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


async def test_requests_that_share_an_id_are_both_answered(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "desk") as desk, open_line(desk.home) as line:
            gate = tmp_path / "gate"
            waits = f"while ! test -e {gate}; do sleep 0.05; done; echo late"
            await line.begin_call("execute", command=waits)
            line.id -= 1
            assert '"stdout": "early' in await line.call("execute", command="echo early")
            gate.touch()
            answer = await line.hear()
            assert answer["id"] == line.id
            assert '"stdout": "late' in json.dumps(answer)


async def test_a_signal_ends_a_server_and_all_that_its_agent_left(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, kai):
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                async with open_line(desk.home) as line:
                    await kai.client.tasks.add("work")
                    await line.call("execute", command="sleep 1000", peer="kai", timeout=0)
                    await line.call("task_claim", peer="kai")
                    await line.begin_call("execute", command="sleep 1001", peer="kai")
                    await line.begin_call("check_inbox", wait=600)
                    await wait_jobs(kai, lambda running: len(running) == 2)
                    line.process.send_signal(number)
                    with trio.fail_after(5):
                        await line.hear_the_end()
                        assert line.process.returncode == -number
                        await wait_jobs(kai, lambda running: not running)
                        async with kai.client.tasks.claim(worker="w", wait=5) as work:
                            assert work is not None


async def test_an_agent_that_leaves_in_the_middle_of_its_calls_takes_them_along(
    tmp_path: Path,
) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, kai), open_line(desk.home) as line:
            await line.begin_call("execute", command="sleep 1001", peer="kai")
            await line.begin_call("task_claim", wait=600)
            await line.begin("resources/subscribe", uri="loopsy://peers")
            await wait_jobs(kai, bool)
            await line.leave()
            with trio.fail_after(5):
                await line.hear_the_end()
                assert line.process.returncode == 0
                await wait_jobs(kai, lambda running: not running)


async def test_what_changed_while_the_node_was_away_is_told(tmp_path: Path) -> None:
    home = home_of(tmp_path, "desk")
    uris = [f"loopsy://context/{key}" for key in ("changed", "kept", "gone")]
    with trio.fail_after(PATIENCE):
        async with open_line(home) as line:
            pid = await start_daemon(home)
            for uri in uris:
                await line.ask("resources/subscribe", uri=uri)
                await line.call("context_set", key=uri.rpartition("/")[2], value="1")
                while (await line.hear())["method"] != LISTED:
                    pass
            line.process.send_signal(signal.SIGSTOP)  # so that it does not see what happens
            os.kill(pid, signal.SIGKILL)
            await trio.to_thread.run_sync(os.waitpid, pid, 0)
            async with running_node(home) as client:
                await client.context.set("changed", "2")
                await client.context.delete("gone")
                line.process.send_signal(signal.SIGCONT)
                told = set()
                while (message := await line.hear())["method"] != LISTED:
                    told.add(cast("dict[str, object]", message["params"])["uri"])
                assert told == {uris[0], uris[2]}


async def test_a_command_whose_node_died_is_an_error_with_what_it_had_said(tmp_path: Path) -> None:
    home = home_of(tmp_path, "desk")
    gate = tmp_path / "gate"
    with trio.fail_after(PATIENCE):
        async with open_line(home) as line:
            pid = await start_daemon(home)
            left = f"echo begun; while ! test -e {gate}; do sleep 0.1; done"
            assert '"stdout": "begun' in await line.call("execute", command=left, timeout=1)
            os.kill(pid, signal.SIGKILL)
            await trio.to_thread.run_sync(os.waitpid, pid, 0)
            async with running_node(home):
                said = await line.call("execute", job="j1", timeout=30)
                gate.touch()  # it does not outlive this test
            assert '"isError": true' in said
            assert "the command may still run" in said


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_all_that_an_agent_does_goes_over_one_connection(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_two_machines(tmp_path) as (desk, _), open_line(desk.home) as line:
            await line.call("list_peers")
            sockets = sockets_of(line.process.pid)
            await line.call("session_start", command="exec cat", name="s", peer="kai")
            await line.call("execute", command="sleep 1000", peer="kai", timeout=0)
            await line.call("session_write", session="s", peer="kai", text="x", wait=0)
            await line.begin("resources/subscribe", uri="loopsy://context")
            await line.begin_call("session_wait", session="s", peer="kai", timeout=600)
            await line.begin_call("context_set", key="k", value="v", peer="kai")
            while (await line.hear()).get("id") != line.id:
                pass
            assert sockets_of(line.process.pid) == sockets


def sockets_of(pid: int) -> list[str]:
    """Return the sockets that a process has open."""
    links = (os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir())
    return sorted(link for link in links if link.startswith("socket:"))
