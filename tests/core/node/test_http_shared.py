"""Messages, tasks and watching by HTTP: as a script has them, and what is wrong input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from loopsy_core.capabilities import watchers
from loopsy_core.client import open_client
from tests.core.node.http_world import Door, open_door
from tests.core.node.machines_world import open_machine, pair, reached
from tests.world import PATIENCE, eventually

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from loopsy_core.home import Home


async def test_a_message_is_sent_read_answered_and_acknowledged(home: Home) -> None:
    async with open_door(home) as door:
        body = {"to": "local", "body": "hello", "type": "request", "ttl": 60}
        sent = (await door.ask("POST", "/messages", body)).json
        assert (sent["to"], sent["state"]) == ("kai", "delivered")
        assert sent["expiresAt"] > 1e12, "milliseconds"
        [came] = (await door.get("/messages"))["messages"]
        assert came == {
            "from": "kai",
            "to": "kai",
            "ts": came["ts"],
            "id": sent["id"],
            "type": "request",
            "body": "hello",
            "replyTo": None,
            "state": None,
            "error": None,
        }
        assert (await door.get("/messages"))["messages"] == [came], "looking consumes nothing"
        answer = {"to": "kai", "body": "yes", "type": "response", "replyTo": sent["id"]}
        answered = (await door.ask("POST", "/messages", answer)).json
        assert (await door.ask("DELETE", f"/messages/{sent['id']}")).json == {
            "success": True,
            "id": sent["id"],
        }
        [left] = (await door.get("/messages"))["messages"]
        assert (left["id"], left["replyTo"]) == (answered["id"], sent["id"])
        outbox = (await door.get("/messages/outbox"))["messages"]
        assert [(each["id"], each["state"]) for each in outbox] == [
            (sent["id"], "read"),
            (answered["id"], "delivered"),
        ]
        assert (await door.ask("POST", "/messages/broadcast", {"body": "all"})).json == {
            "machines": []
        }


async def test_a_task_is_handed_out_taken_and_done(home: Home) -> None:
    async with open_door(home) as door:
        assert (await door.ask("POST", "/tasks/claim")).json == {"task": None}
        added = (await door.ask("POST", "/tasks", {"body": "b" * 3000, "kind": "ios"})).json
        assert (added["state"], added["attempts"], added["leaseUntil"]) == ("pending", 0, None)
        claim = {"kind": "ios", "worker": "w", "lease": 5000}
        task = (await door.ask("POST", "/tasks/claim", claim)).json["task"]
        assert (task["id"], task["worker"], task["attempts"]) == (added["id"], "http: w", 1)
        assert task["leaseUntil"] - task["updatedAt"] == 5000
        mine = {"id": task["id"], "attempt": 1}
        told = (await door.ask("POST", "/tasks/extend", {**mine, "progress": "half"})).json
        assert (told["progress"], told["leaseUntil"] - told["updatedAt"]) == ("half", 60_000)
        failed = (await door.ask("POST", "/tasks/fail", {**mine, "error": "no"})).json
        assert (failed["state"], failed["error"]) == ("pending", "no")
        again = (await door.ask("POST", "/tasks/claim", {"wait": 1000})).json["task"]
        assert again["attempts"] == 2
        assert (await door.ask("POST", "/tasks/done", mine)).error[:2] == (409, 6004)
        done = {"id": task["id"], "attempt": 2, "result": "built"}
        assert (await door.ask("POST", "/tasks/done", done)).json["result"] == "built"
        whole = await door.get(f"/tasks/{task['id']}")
        assert (whole["body"], whole["state"]) == ("b" * 3000, "done")
        [listed] = (await door.get("/tasks?state=done"))["tasks"]
        assert len(listed["body"]) == 2000
        assert (await door.get("/tasks?state=running")) == {"tasks": []}
        assert (await door.ask("DELETE", f"/tasks/{task['id']}")).error[:2] == (409, 6004)
        other = (await door.ask("POST", "/tasks", {"body": "x"})).json["id"]
        assert (await door.ask("DELETE", f"/tasks/{other}")).json["state"] == "cancelled"


async def test_a_claim_waits_for_work_and_whoever_hangs_up_takes_none(home: Home) -> None:
    async with open_door(home) as door, open_client(home) as client:
        async with trio.open_nursery() as nursery:
            got: list[Any] = []

            async def work() -> None:
                got.append((await door.ask("POST", "/tasks/claim", {"wait": 60_000})).json)

            nursery.start_soon(work)
            await door.get("/health")
            task = await client.tasks.add("at last")
        assert got[0]["task"]["id"] == task.id
        stream = await trio.open_tcp_stream("127.0.0.1", door.port)
        body = b'{"wait": 60000}'
        await stream.send_all(door.head("POST", "/tasks/claim", len(body)) + body)
        await door.get("/health")
        await stream.aclose()
        await eventually(lambda: '"left"' in home.audit_log.read_text())
        left = await client.tasks.add("for somebody else")
        async with client.tasks.claim(wait=5.0) as mine:
            assert mine is not None
            assert mine.task.id == left.id


async def test_what_changes_is_streamed(home: Home) -> None:
    async with open_door(home) as door, open_client(home) as client:
        await client.context.set("w:1", "a", ttl=60)
        async with (
            door.listen("GET", "/events/context?prefix=w:") as context,
            door.listen("GET", "/events/messages") as messages,
            door.listen("GET", "/events/tasks") as tasks,
        ):
            first, current = await context.next(), await context.next()
            assert (first["type"], first["key"], first["value"]) == ("set", "w:1", "a")
            assert first["expiresAt"] > 1e12
            assert current["type"] == "current"
            await client.context.set("w:2", "b")
            await client.context.delete("w:1")
            assert (await context.next())["value"] == "b"
            gone = await context.next()
            assert (gone["type"], gone["key"], gone["why"]) == ("deleted", "w:1", "deleted")
            sent = await client.messages.send("local", "hello")
            assert (await messages.next())["id"] == sent.id
            task = await client.tasks.add("b")
            assert (await tasks.next())["state"] == "pending"
            async with door.listen("GET", f"/events/tasks?id={task.id}") as one:
                await one.next()
                await client.tasks.cancel(task.id)
                assert (await one.next())["state"] == "cancelled"
                assert await one.ended(), "it is over, and so is what watches it"
            assert (await door.ask("GET", "/events/tasks?id=1-x")).error[:2] == (404, 6001)


async def test_who_does_not_read_what_changes_is_told_to_start_over(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchers, "BEHIND", 3)
    async with (
        open_door(home) as door,
        open_client(home) as client,
        door.listen("GET", "/events/context") as watching,
    ):
        assert (await watching.next())["type"] == "current"
        async with trio.open_nursery() as nursery:
            for number in range(60):
                # More than the buffers of a connection that nobody reads.
                nursery.start_soon(client.context.set, f"k{number}", "v" * 500_000)
        told = await watching.next()
        while told["type"] == "set":
            told = await watching.next()
        assert (told["type"], told["code"]) == ("error", 5003)
        assert "watch anew" in told["data"]
        assert await watching.ended()


WRONG = [
    ("POST", "/messages", {"body": "x"}, 400, 5000, "to"),
    ("POST", "/messages", {"to": "local"}, 400, 5000, "body"),
    ("POST", "/messages", {"to": "local", "body": "x" * 262_145}, 400, 5000, "body"),
    ("POST", "/messages", {"to": "local", "body": "x", "type": "song"}, 400, 5000, "type"),
    ("POST", "/messages", {"to": "local", "body": "x", "ttl": -5}, 400, 5000, "ttl"),
    ("POST", "/messages", {"to": "local", "body": "x", "ttl": "abc"}, 400, 5000, "ttl"),
    ("POST", "/messages", {"to": "local", "body": "x", "ttl": 3.2e9}, 400, 5000, "ttl"),
    ("POST", "/messages", {"to": "nobody", "body": "x"}, 404, 2001, "nobody"),
    ("DELETE", "/messages/1-kai-0000", None, 404, 5001, "has come here"),
    ("POST", "/tasks", {}, 400, 6000, "body"),
    ("POST", "/tasks", {"body": "x", "maxAttempts": 0}, 400, 6000, "maxAttempts"),
    ("POST", "/tasks?peer=nobody", {"body": "x"}, 404, 2001, "nobody"),
    ("POST", "/tasks/claim", {"lease": 1}, 400, 6000, "lease"),
    ("POST", "/tasks/claim", {"wait": 10**12}, 400, 6000, "wait"),
    ("POST", "/tasks/done", {"id": "1-x"}, 400, 6000, "attempt"),
    ("POST", "/tasks/done", {"id": "1-x", "attempt": 1}, 404, 6001, "1-x"),
    ("POST", "/tasks/extend", {"id": "1-x", "attempt": 0}, 400, 6000, "attempt"),
    ("GET", "/tasks?state=lost", None, 400, 6000, "state"),
    ("GET", "/tasks/1-x", None, 404, 6001, "1-x"),
    ("GET", "/tasks/" + "x" * 600, None, 400, 6000, "key"),
    ("DELETE", "/tasks/1-x", None, 404, 6001, "1-x"),
]


async def test_what_cannot_be_is_refused_with_what_is_wrong(home: Home) -> None:
    async with open_door(home) as door:
        for method, path, body, status, code, what in WRONG:
            reply = await door.ask(method, path, body)
            assert reply.error[:2] == (status, code), (method, path, reply)
            assert what in reply.error[2], (method, path, reply)


async def test_messages_and_tasks_go_to_other_machines(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "here") as here, open_machine(tmp_path, "there") as there:
            await pair(there, here)
            await here.peer(reached)
            door = Door(here.node, here.home)
            [peer] = (await door.get("/peers"))["peers"]
            name = peer["hostname"]
            sent = (await door.ask("POST", "/messages", {"to": name, "body": "hello"})).json
            async with there.client.messages.watch() as inbox:
                assert (await anext(inbox)).id == sent["id"]
            told = (await door.ask("POST", "/messages/broadcast", {"body": "to all"})).json
            assert [(each["machine"], each["error"]) for each in told["machines"]] == [(name, None)]
            await there.client.tasks.add("work")
            claimed = (await door.ask("POST", f"/tasks/claim?peer={name}", {})).json["task"]
            assert claimed["body"] == "work"
            [task] = await there.client.tasks.list()
            assert task.state == "running"
