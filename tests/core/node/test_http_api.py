"""What is answered by HTTP: the node, machines, context, sessions; and what is written down."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core import __version__
from loopsy_core.client import open_client
from loopsy_core.home import load_identity
from tests.core.node.http_world import SETTINGS, Door, open_door
from tests.core.node.machines_world import open_machine, pair, reached
from tests.world import PATIENCE, make_home

if TYPE_CHECKING:
    from pathlib import Path

    from loopsy_core.home import Home
    from tests.core.node.machines_world import Machine


async def test_it_says_that_it_is_there_who_and_how_it_is(home: Home) -> None:
    async with open_door(home) as door:
        health = await door.get("/health")
        identity = await door.get("/identity")
        status = await door.get("/status")
    node_id = door.node.identity.id
    assert 0 <= health.pop("uptime") <= status["uptime"] < 60_000  # milliseconds
    assert health == {"status": "ok", "nodeId": node_id, "version": __version__}
    assert (identity["nodeId"], identity["hostname"]) == (node_id, "kai")
    assert identity["port"] == status["httpPort"]
    assert status["peers"] == {"total": 0, "online": 0, "offline": 0}
    assert status["jobs"] == {"active": 0, "total": 0}
    assert status["relay"] == {"url": None, "connected": False, "problem": None}


async def test_context_is_set_read_listed_and_deleted(home: Home) -> None:
    async with open_door(home) as door, open_client(home) as client:
        reply = await door.ask("PUT", "/context/build:ios", {"value": "grün\n", "ttl": 60})
        assert reply.status == 200
        entry = reply.json
        assert entry["expiresAt"] == pytest.approx(entry["updatedAt"] + 60_000, abs=1)
        assert (entry["key"], entry["value"], entry["size"]) == ("build:ios", "grün\n", 6)
        assert entry["fromNodeId"] == "http"
        found = await client.context.get("build:ios")
        assert found is not None
        assert found.value == "grün\n"
        await client.context.set("build:web", "x" * 300_000)
        await client.context.set("other", "y")
        assert await door.get("/context/build:ios") == entry
        listed = (await door.get("/context?prefix=build:"))["entries"]
        assert [item["key"] for item in listed] == ["build:ios", "build:web"]
        assert listed[0] == entry
        assert listed[1]["value"] == "x" * 300_000
        assert len((await door.get("/context"))["entries"]) == 3
        assert (await door.get("/context?prefix=nothing")) == {"entries": []}
        deleted = await door.ask("DELETE", "/context/build:ios")
        assert deleted.json == {"success": True, "key": "build:ios"}
        for method in ("GET", "DELETE"):
            assert (await door.ask(method, "/context/build:ios")).error[:2] == (404, 5001)


async def test_a_key_may_have_any_character_that_can_be_seen(home: Home) -> None:
    async with open_door(home) as door:
        for path, key in [
            ("a%2Fb", "a/b"),
            ("a/b", "a/b"),
            ("%2Fa", "/a"),
            ("a%2F%2F", "a//"),
            ("a%20%3F%23%25", "a ?#%"),
            ("%C3%A4", "ä"),
            ("a+b", "a+b"),
            ("..%2f..%2fetc", "../../etc"),
            ("x" * 512, "x" * 512),
        ]:
            reply = await door.ask("PUT", f"/context/{path}", {"value": key})
            assert (reply.status, reply.json["key"]) == (200, key), reply
            assert (await door.get(f"/context/{path}"))["value"] == key
        status, code, message = (await door.ask("PUT", "/context/a%0Ab", {"value": "x"})).error
        assert (status, code) == (400, 5000)
        assert "line breaks" in message


async def test_a_value_is_set_only_as_it_is_by_now_if_so_wished(home: Home) -> None:
    async with open_door(home) as door:
        first = (await door.ask("PUT", "/context/k", {"value": "1", "ifRevision": 0})).json
        reply = await door.ask("PUT", "/context/k", {"value": "2", "ifRevision": 0})
        assert reply.error[:2] == (409, 5004)
        reply = await door.ask("DELETE", f"/context/k?ifRevision={first['revision'] + 1}")
        assert reply.error[:2] == (409, 5004)
        reply = await door.ask("DELETE", f"/context/k?ifRevision={first['revision']}")
        assert reply.status == 200


async def test_a_value_of_a_mebibyte_comes_and_goes_and_a_larger_one_is_refused(
    home: Home,
) -> None:
    async with open_door(home) as door:
        value = "ä" * (1 << 19)
        assert (await door.ask("PUT", "/context/k", {"value": value})).status == 200
        assert (await door.get("/context/k"))["value"] == value
        for longer in ("ä" * (1 << 20), "x" * ((1 << 20) + 1), "\0" * (9 << 20)):
            status, code, _ = (await door.ask("PUT", "/context/k", {"value": longer})).error
            assert (status, code) == (400, 5000)
        assert (await door.get("/context/k"))["value"] == value


async def test_more_than_there_is_room_for_is_refused_with_a_code_of_its_own(home: Home) -> None:
    async with open_door(home, SETTINGS + "context: {maxSize: 1K}\n") as door:
        assert (await door.ask("PUT", "/context/k", {"value": "x" * 1000})).status == 200
        status, code, message = (await door.ask("PUT", "/context/l", {"value": "x" * 100})).error
        assert (status, code) == (507, 5006)
        assert "delete something, or raise context.maxSize" in message


async def test_sessions_are_started_listed_and_ended(home: Home) -> None:
    async with open_door(home) as door, open_client(home) as client:
        body = {"command": "sleep", "args": ["100"], "name": "nap", "cols": 100, "cwd": "/"}
        started = (await door.ask("POST", "/sessions", body)).json
        assert (started["name"], started["alive"], started["cols"]) == ("nap", True, 100)
        assert started["argv"][1:] == ["100"]
        assert (await door.get("/sessions")) == {"sessions": [started]}
        [info] = await client.sessions()
        assert started["createdAt"] == round(info.created_at * 1000)
        ended = (await door.ask("DELETE", "/sessions/nap")).json
        assert (ended["alive"], ended["exitCode"]) == (False, -1)
        assert await door.get("/sessions") == {"sessions": []}
        assert (await door.ask("DELETE", "/sessions/nap")).error[:2] == (404, 7001)


async def test_a_session_without_anything_is_the_login_shell(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", "/bin/sh")
    async with open_door(home) as door:
        started = (await door.ask("POST", "/sessions")).json
        assert started["kind"] == "shell"
        assert (await door.ask("DELETE", f"/sessions/{started['id']}")).status == 200


async def test_a_machine_is_trusted_by_its_key_and_forgotten(home: Home, tmp_path: Path) -> None:
    other = load_identity(make_home(tmp_path / "other")).id
    async with open_door(home) as door:
        body = {"address": "192.0.2.1", "port": 1234, "nodeId": other, "hostname": "mac"}
        added = (await door.ask("POST", "/peers", body)).json
        assert (added["nodeId"], added["hostname"]) == (other, "mac")
        assert (added["address"], added["port"]) == ("192.0.2.1", 1234)
        assert (added["status"], added["way"], added["trusted"]) == ("offline", None, True)
        [listed] = (await door.get("/peers"))["peers"]
        assert listed["nodeId"] == other
        assert (await door.get("/status"))["peers"] == {"total": 1, "online": 0, "offline": 1}
        status, code, message = (await door.ask("GET", "/context?peer=mac")).error
        assert (status, code) == (503, 2002)
        assert "mac is not reached" in message
        assert (await door.ask("GET", "/context?peer=nobody")).error[:2] == (404, 2001)
        assert (await door.ask("GET", "/context/z?peer=kai")).error[:2] == (404, 5001)  # itself
        removed = await door.ask("DELETE", "/peers/mac")
        assert removed.json == {"success": True, "nodeId": other}
        assert (await door.ask("DELETE", "/peers/mac")).error[:2] == (404, 2001)
        reply = await door.ask("DELETE", "/peers/mac?peer=")  # which is not for this
        assert reply.error[:2] == (404, 2001)


WRONG = [
    ("POST", "/sessions", b'{"cols": 0}', "cols"),
    ("POST", "/sessions", b'{"cols": "80"}', "cols"),
    ("POST", "/sessions", b'{"args": "x"}', "args"),
    ("POST", "/sessions", b'{"args": ["x"]}', "command"),
    ("POST", "/sessions", b'{"env": {"A": 1}}', "env"),
    ("POST", "/sessions", b'{"autoApprove": "yes"}', "autoApprove"),
    ("POST", "/sessions?peer=", b"{}", "peer"),
    ("POST", "/peers", b"{}", "key"),
    ("POST", "/peers", b'{"key": "abc"}', "id of a peer"),
    ("POST", "/peers", b'{"key": "x", "port": 0}', "port"),
    ("POST", "/peers", b'{"key": "x", "expiresAt": "never"}', "expiresAt"),
    ("POST", "/peers", b'{"key": "x", "preset": "king"}', "preset"),
    ("PUT", "/context/k", b"{}", "value"),
    ("PUT", "/context/k", b'{"value": null}', "value"),
    ("PUT", "/context/k", b'{"value": {"a": 1}}', "value"),
    ("PUT", "/context/k", b'{"value": "x", "ttl": "1h"}', "ttl"),
    ("PUT", "/context/k", b'{"value": "x", "ttl": 0}', "ttl"),
    ("PUT", "/context/k", b'{"value": "x", "ttl": -1}', "ttl"),
    ("PUT", "/context/k", b'{"value": "x", "ttl": NaN}', "JSON"),
    ("PUT", "/context/k", b'{"value": "x", "ifRevision": 1.5}', "ifRevision"),
    ("PUT", "/context/k", b'{"value": "\\ud800"}', "JSON"),
    ("PUT", "/context/k", b'{"value": "\xff"}', "JSON"),
    ("PUT", "/context/k", b"{", "JSON"),
    ("PUT", "/context/k", b"[" * 100_000, "object"),
    ("PUT", "/context/k", b"[]", "object"),
    ("PUT", "/context/" + "k" * 513, b'{"value": "x"}', "key"),
    ("PUT", "/context/", b'{"value": "x"}', "key"),
    ("DELETE", "/context/k?ifRevision=x", b"", "ifRevision"),
    ("GET", "/context?prefix=" + "k" * 513, b"", "prefix"),
    ("GET", "/context?prefix=a&prefix=b", b"", "twice"),
    ("GET", "/context?prefix=%ff", b"", "query"),
    ("GET", "/context?peer=" + "x" * 65, b"", "peer"),
]


async def test_wrong_input_is_refused_with_the_field_that_is_wrong(home: Home) -> None:
    async with open_door(home) as door:
        for method, path, body, field in WRONG:
            reply = await door.ask(method, path, body)
            status, code, message = reply.error
            assert status == 400, (method, path, body[:50], reply)
            assert code // 1000 in {2, 5, 7}, reply
            assert code % 1000 == 0, reply
            assert field in message, (method, path, body[:50], message)


async def test_fields_that_nobody_knows_are_passed_over(home: Home) -> None:
    async with open_door(home) as door:
        body = {"value": "x", "stream": False}
        assert (await door.ask("PUT", "/context/k?more=1", body)).status == 200


async def test_the_audit_log_says_that_it_came_by_http(home: Home) -> None:
    async with open_door(home) as door:
        await door.ask("PUT", "/context/k", {"value": "a secret of ours"})
        await door.ask("GET", "/context/none")
        await door.ask("GET", "/health", headers={"Authorization": "Bearer guess"})
    text = home.audit_log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    seen = [(line["op"], line["where"], line["result"]) for line in lines]
    assert seen == [("context.set", "k", "ok"), ("context.get", "none", "not_found")]
    assert {line["actor"] for line in lines} == {"http"}
    for secret in (door.key, "guess", "a secret of ours"):
        assert secret not in text


async def test_what_is_asked_of_another_machine_is_answered_there(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "here") as here, open_machine(tmp_path, "there") as there:
            await pair(there, here)
            await here.peer(reached)
            door = Door(here.node, here.home)
            await ask_the_other(door, here, there)


async def ask_the_other(door: Door, here: Machine, there: Machine) -> None:
    [peer] = (await door.get("/peers"))["peers"]
    assert peer["status"] == "online"
    name = peer["hostname"]
    reply = await door.ask("PUT", f"/context/k?peer={name}", {"value": "far away"})
    assert reply.status == 200, reply
    found = await there.client.context.get("k")
    assert found is not None
    assert found.value == "far away"
    assert await here.client.context.get("k") is None
    assert (await door.get(f"/context/k?peer={peer['nodeId'][:8]}"))["value"] == "far away"
    assert (await door.ask("GET", f"/context/z?peer={name}")).error[:2] == (404, 5001)
