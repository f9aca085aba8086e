"""Commands by HTTP: their answers, their streams, and whose leaving ends them."""

from __future__ import annotations

import json
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import trio

from loopsy_core.client import open_client
from loopsy_core.wire import ListJobs, RotateKey
from tests.core.node.http_world import open_door

if TYPE_CHECKING:
    from loopsy_core.client import Client
    from loopsy_core.home import Home
    from tests.core.node.http_world import Door


def sh(script: str, **more: object) -> dict[str, object]:
    return {"command": "sh", "args": ["-c", script], **more}


async def run(door: Door, **body: object) -> Any:  # noqa: ANN401
    reply = await door.ask("POST", "/execute", body)
    assert reply.status == 200, reply
    return reply.json


async def test_a_command_is_run_and_answered_with_all_that_it_wrote(home: Home) -> None:
    async with open_door(home) as door:
        done = await run(door, **sh('cat; printf "$A" >&2; pwd; exit 3', stdin="grün\n", cwd="/",
                                    env={"A": "b"}))  # fmt: skip
    assert (done["exitCode"], done["stdout"], done["stderr"]) == (3, "grün\n/\n", "b")
    assert (done["killed"], done["timedOut"]) == (False, False)
    assert 0 <= done["duration"] < 30_000
    assert isinstance(done["jobId"], str)


async def test_arguments_are_run_by_no_shell(home: Home) -> None:
    async with open_door(home) as door:
        done = await run(door, command="printf", args=["%s", "$HOME; `id` 'x'"])
    assert done["stdout"] == "$HOME; `id` 'x'"


async def test_a_command_whose_time_is_up_is_ended(home: Home) -> None:
    async with open_door(home) as door:
        done = await run(door, **sh("printf begun; sleep 100", timeout=300))
    assert (done["stdout"], done["exitCode"]) == ("begun", -signal.SIGTERM)
    assert (done["killed"], done["timedOut"]) == (True, True)
    assert 300 <= done["duration"] < 20_000


async def test_output_that_is_no_text_is_replaced_and_never_an_error(home: Home) -> None:
    async with open_door(home) as door:
        done = await run(door, **sh(r"printf 'a\377\303'"))
    assert done["stdout"] == "a\ufffd\ufffd"


async def test_too_much_output_for_one_answer_is_refused(home: Home) -> None:
    async with open_door(home) as door:
        reply = await door.ask("POST", "/execute", sh("head -c 20000000 /dev/zero"))
        status, code, message = reply.error
    assert (status, code) == (400, 3000)
    assert "stream it instead" in message


async def test_what_cannot_be_run_is_refused_with_the_reason(home: Home) -> None:
    wrong: list[tuple[object, int, int, str]] = [
        ({"command": "rm", "args": ["x"]}, 403, 3001, "denylist"),
        ({"command": "no-such-program"}, 400, 3000, "no-such-program"),
        (sh("true", cwd="/no/such/folder"), 400, 3000, "/no/such/folder"),
        ({}, 400, 3000, "command"),
        ({"command": ""}, 400, 3000, "command"),
        ({"command": ["ls"]}, 400, 3000, "command"),
        ({"command": "ls", "args": "-la"}, 400, 3000, "args"),
        ({"command": "ls", "args": [1]}, 400, 3000, "args"),
        ({"command": "ls", "timeout": 0}, 400, 3000, "timeout"),
        ({"command": "ls", "timeout": "5m"}, 400, 3000, "timeout"),
        ({"command": "ls", "timeout": 1e300}, 400, 3000, "timeout"),
        ({"command": "ls", "env": ["A=b"]}, 400, 3000, "env"),
        ({"command": "l\0s"}, 400, 3000, ""),
        ({"command": "ls", "args": ["\0"]}, 400, 3000, ""),
    ]
    async with open_door(home) as door:
        for path in ("/execute", "/execute/stream"):
            for body, status, code, word in wrong:
                reply = await door.ask("POST", path, body)
                assert reply.error[:2] == (status, code), (path, body, reply)
                assert word in reply.error[2], (path, body, reply)


async def test_output_is_streamed_as_it_comes(home: Home) -> None:
    body = sh("printf 'gr\\303'; read x; printf '\\274n'; echo no >&2; exit 5", stdin="go\n")
    async with open_door(home) as door, door.listen("POST", "/execute/stream", body) as events:
        assert events.status == 200
        assert b"content-type: text/event-stream" in events.headers
        start = await events.next()
        assert (start["type"], int(start["data"]) > 0) == ("start", True)
        text = {"stdout": "", "stderr": ""}
        while (event := await events.next())["type"] != "exit":
            assert event["jobId"] == start["jobId"]
            text[event["type"]] += event["data"]
    assert text == {"stdout": "grün", "stderr": "no\n"}
    assert (event["data"], event["killed"], event["timedOut"]) == ("5", False, False)


async def test_whoever_leaves_a_stream_ends_its_command(home: Home) -> None:
    async with open_door(home) as door, open_client(home) as client:
        async with door.listen("POST", "/execute/stream", sh("sleep 1000")) as events:
            await events.next()
            [job] = (await door.get("/execute/jobs"))["jobs"]
            assert (job["command"], job["args"]) == ("sh", ["-c", "sleep 1000"])
        ended = await until_ended(client)
    assert ended.cancelled


async def test_whoever_does_not_wait_for_the_answer_ends_the_command(home: Home) -> None:
    async with open_door(home) as door, open_client(home) as client:
        body = json.dumps(sh("sleep 1000")).encode()
        stream = await trio.open_tcp_stream("127.0.0.1", door.port)
        async with stream:
            await stream.send_all(door.head("POST", "/execute", len(body)) + body)
            while not (await client.ask(ListJobs())).jobs:  # noqa: ASYNC110
                await trio.sleep(0.01)
        ended = await until_ended(client)
    assert ended.cancelled


async def until_ended(client: Client) -> Any:  # noqa: ANN401
    while (job := (await client.ask(ListJobs())).jobs[0]).ended_at is None:  # noqa: ASYNC110
        await trio.sleep(0.01)
    return job


async def test_a_command_is_ended_by_its_id(home: Home) -> None:
    async with open_door(home) as door:
        async with door.listen("POST", "/execute/stream", sh("sleep 1000")) as events:
            job = (await events.next())["jobId"]
            reply = await door.ask("DELETE", f"/execute/{job}")
            assert reply.json == {"success": True, "jobId": job}
            event = await events.next()
            assert (event["type"], event["killed"], event["timedOut"]) == ("exit", True, False)
        assert (await door.get("/execute/jobs")) == {"jobs": []}
        assert (await door.ask("DELETE", "/execute/none")).error[:2] == (404, 3006)


async def test_with_the_old_key_go_the_commands_that_it_started(home: Home) -> None:
    async with (
        open_door(home) as door,
        open_client(home) as client,
        door.listen("POST", "/execute/stream", sh("sleep 1000")) as events,
    ):
        await events.next()
        await client.ask(RotateKey())
        ended = await until_ended(client)
    assert ended.cancelled


async def test_a_client_that_does_not_read_stops_the_command_and_nobody_else(home: Home) -> None:
    body = sh("yes")
    async with open_door(home) as door, open_client(home) as client:
        async with door.listen("POST", "/execute/stream", body) as events:
            await events.next()
            written = -1
            while (job := (await client.ask(ListJobs())).jobs[0]).stdout != written:
                written = job.stdout  # until it stands still
                await trio.sleep(0.3)
            assert 0 < written < 64 << 20
            assert (await door.get("/health"))["status"] == "ok"
        assert (await until_ended(client)).cancelled


async def test_a_node_that_leaves_tells_how_its_commands_ended(home: Home) -> None:
    async with open_door(home) as door:
        stream = door.listen("POST", "/execute/stream", sh("sleep 1000"))
        events = await stream.__aenter__()
        await events.next()
    event: dict[str, object] = {}
    with suppress(EOFError, trio.BrokenResourceError):
        event = await events.next()
    assert (event["type"], event["killed"]) == ("exit", True)
    await stream.__aexit__(None, None, None)
