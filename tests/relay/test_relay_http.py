"""The HTTP side of a real relay, asked nicely and otherwise."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
import trio

from loopsy_core import __version__
from loopsy_relay.config import Rate
from tests.relay.relay_world import PATIENCE, hear, open_relay

if TYPE_CHECKING:
    from pathlib import Path


async def test_health_counts_who_is_connected(tmp_path: Path) -> None:
    async with open_relay(tmp_path) as relay:
        idle = {"status": "ok", "version": __version__, "nodes": 0, "phones": 0}
        assert (await relay.ask("GET", "/health")).json == idle
        secret = await relay.register()
        _, bearer = await relay.pair(secret)
        async with relay.open_node(secret) as node, relay.open_phone(bearer):
            await hear(node)
            health = (await relay.ask("GET", "/health")).json
        assert (health["nodes"], health["phones"]) == (1, 1)


async def test_a_machine_registers_pairs_lists_and_revokes(tmp_path: Path) -> None:
    async with open_relay(tmp_path) as relay:
        reply = await relay.ask("POST", "/api/v1/devices", {"name": "laptop"})
        assert reply.status == 201
        device, secret = reply.json["deviceId"], reply.json["secret"]
        before = time.time()
        reply = await relay.ask("POST", "/api/v1/pair/issue", {"ttl": 60}, secret=secret)
        assert reply.status == 201
        assert before + 60 <= reply.json["expiresAt"] <= time.time() + 60
        body = {"token": reply.json["token"], "name": "Kai's phone"}
        reply = await relay.ask("POST", "/api/v1/pair/redeem", body)
        assert reply.status == 201
        assert set(reply.json) == {"phoneId", "bearer", "deviceId"}
        assert reply.json["deviceId"] == device
        phone = reply.json["phoneId"]
        reply = await relay.ask("GET", "/api/v1/phones", secret=secret)
        [listed] = reply.json["phones"]
        assert (listed["id"], listed["name"]) == (phone, "Kai's phone")
        assert (listed["lastSeen"], listed["connected"]) == (None, False)
        reply = await relay.ask("DELETE", f"/api/v1/phones/{phone}", secret=secret)
        assert (reply.status, reply.body) == (204, b"")
        reply = await relay.ask("DELETE", f"/api/v1/phones/{phone}", secret=secret)
        assert (reply.status, reply.error[0]) == (404, "not_found")
        reply = await relay.ask("DELETE", "/api/v1/device", secret=secret)
        assert (reply.status, reply.body) == (204, b"")
        reply = await relay.ask("GET", "/api/v1/phones", secret=secret)
        assert (reply.status, reply.error[0]) == (401, "refused")


async def test_a_token_works_once_and_says_so(tmp_path: Path) -> None:
    async with open_relay(tmp_path) as relay:
        body = {"token": await relay.issue(await relay.register()), "name": "phone"}
        assert (await relay.ask("POST", "/api/v1/pair/redeem", body)).status == 201
        reply = await relay.ask("POST", "/api/v1/pair/redeem", body)
        assert reply.status == 403
        assert "used already" in reply.error[1]


async def test_a_relay_with_a_registration_secret_wants_it(tmp_path: Path) -> None:
    async with open_relay(tmp_path, registration_secret="open sesame") as relay:
        for secret in [None, "", "open", "open sesame!", "\xe4"]:
            reply = await relay.ask("POST", "/api/v1/devices", {"name": "x"}, secret=secret)
            assert (reply.status, reply.error[0]) == (401, "refused")
            assert reply.headers["WWW-Authenticate"] == "Bearer"
        reply = await relay.ask("POST", "/api/v1/devices", {"name": "x"}, secret="open sesame")
        assert reply.status == 201


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/api/v1/device"),
        ("POST", "/api/v1/pair/issue"),
        ("GET", "/api/v1/phones"),
        ("DELETE", "/api/v1/phones/x"),
    ],
)
async def test_what_needs_a_secret_refuses_without(tmp_path: Path, method: str, path: str) -> None:
    async with open_relay(tmp_path) as relay:
        for headers in [{}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer x.y"}]:
            reply = await relay.ask(method, path, {}, headers=headers)
            assert (reply.status, reply.error[0]) == (401, "refused")


async def test_trying_too_often_is_answered_with_when_to_come_back(tmp_path: Path) -> None:
    rates = {"registering": Rate(6, 2), "redeeming": Rate(6, 2)}
    async with open_relay(tmp_path, **rates) as relay:
        for path in ("/api/v1/devices", "/api/v1/pair/redeem"):
            for _ in range(2):
                assert (await relay.ask("POST", path, {})).status == 400
            reply = await relay.ask("POST", path, {})
            assert (reply.status, reply.error[0]) == (429, "busy")
            assert 1 <= int(reply.headers["Retry-After"]) <= 10


async def test_behind_a_proxy_each_client_has_its_own_limit(tmp_path: Path) -> None:
    async with open_relay(tmp_path, registering=Rate(1, 1), trust_proxy=True) as relay:
        for hop in ["192.0.2.1", "192.0.2.2", "192.0.2.1, 192.0.2.3", "2001:db8::1"]:
            reply = await relay.ask(
                "POST", "/api/v1/devices", {"name": "x"}, headers={"X-Forwarded-For": hop}
            )
            assert reply.status == 201, hop
        for hop in ["192.0.2.9, 192.0.2.1", "2001:db8::2"]:
            reply = await relay.ask(
                "POST", "/api/v1/devices", {"name": "x"}, headers={"X-Forwarded-For": hop}
            )
            assert reply.status == 429, hop


async def test_without_a_proxy_nobody_chooses_an_address(tmp_path: Path) -> None:
    async with open_relay(tmp_path, registering=Rate(1, 1)) as relay:
        statuses = [
            (
                await relay.ask(
                    "POST",
                    "/api/v1/devices",
                    {"name": "x"},
                    headers={"X-Forwarded-For": f"192.0.2.{number}", "Remote-Addr": str(number)},
                )
            ).status
            for number in range(3)
        ]
        assert statuses == [201, 429, 429]


DEEP = b"[" * 15_000
BODIES: list[tuple[str, bytes, str]] = [
    ("/api/v1/devices", b"", ""),
    ("/api/v1/devices", b"{", ""),
    ("/api/v1/devices", b"\xff\xfe", ""),
    ("/api/v1/devices", b'{"name": "\xff"}', ""),
    ("/api/v1/devices", DEEP, ""),
    ("/api/v1/devices", b'{"name": "x", "more": ' + DEEP, ""),
    ("/api/v1/devices", b"null", ""),
    ("/api/v1/devices", b"[]", ""),
    ("/api/v1/devices", b'"name"', ""),
    ("/api/v1/devices", b"{}", "name"),
    ("/api/v1/devices", b'{"name": null}', "name"),
    ("/api/v1/devices", b'{"name": 1}', "name"),
    ("/api/v1/devices", b'{"name": ["x"]}', "name"),
    ("/api/v1/devices", b'{"name": ""}', "name"),
    ("/api/v1/devices", rb'{"name": "\ud800"}', ""),
    ("/api/v1/devices", rb'{"name": "\u0000"}', "name"),
    ("/api/v1/pair/redeem", b'{"name": "x"}', "token"),
    ("/api/v1/pair/redeem", b'{"token": 1, "name": "x"}', "token"),
    ("/api/v1/pair/issue", b'{"ttl": "60"}', "ttl"),
    ("/api/v1/pair/issue", b'{"ttl": null}', "ttl"),
    ("/api/v1/pair/issue", b'{"ttl": true}', "ttl"),
    ("/api/v1/pair/issue", b'{"ttl": NaN}', ""),
    ("/api/v1/pair/issue", b'{"ttl": 1e999}', ""),
    ("/api/v1/pair/issue", b'{"ttl": -1}', "ttl"),
    ("/api/v1/pair/issue", b'{"ttl": 9.9}', "ttl"),
    ("/api/v1/pair/issue", b'{"ttl": 3601}', "ttl"),
    ("/api/v1/pair/issue", b'{"ttl": ' + b"9" * 5000 + b"}", ""),
]


async def test_wrong_bodies_are_refused_with_the_field_that_is_wrong(tmp_path: Path) -> None:
    many = Rate(10_000, 10_000)
    async with open_relay(tmp_path, registering=many, redeeming=many) as relay:
        secret = await relay.register()
        for path, body, field in BODIES:
            reply = await relay.ask("POST", path, body, secret=secret)
            assert reply.status == 400, (path, body[:50], reply)
            code, message = reply.error
            assert code == "bad_request"
            assert message.startswith(f"{field}:" if field else ""), (body[:50], message)
            assert field in message


async def test_a_long_body_is_refused_and_a_request_after_it_works(tmp_path: Path) -> None:
    async with open_relay(tmp_path) as relay:
        for size in (16 * 1024 + 1, 1_000_000):
            reply = await relay.ask("POST", "/api/v1/devices", b"x" * size)
            assert (reply.status, reply.error[0]) == (413, "bad_request")
        chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
        heard = await relay.shout(
            b"POST /api/v1/devices HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            + chunk * 3
            + b"0\r\n\r\n"
        )
        assert heard.startswith(b"HTTP/1.1 413 ")
        assert (await relay.ask("GET", "/health")).status == 200


async def test_unknown_paths_and_methods_are_answered_in_json(tmp_path: Path) -> None:
    async with open_relay(tmp_path) as relay:
        for path in ["/nope", "/api/v1/", "/health/", "/api/v1/phones/", "/%ff", "/%00"]:
            reply = await relay.ask("GET", path)
            assert (reply.status, reply.error[0]) == (404, "not_found"), path
        for method, path, allowed in [
            ("PUT", "/health", "GET"),
            ("GET", "/api/v1/devices", "POST"),
            ("PATCH", "/api/v1/pair/issue", "POST"),
            ("POST", "/app", "GET"),
            ("FOO", "/health", "GET"),
        ]:
            reply = await relay.ask(method, path)
            assert (reply.status, reply.error[0]) == (405, "bad_request"), (method, path)
            assert allowed in reply.headers["Allow"]
        for path in ["/ws/node", "/ws/phone"]:
            reply = await relay.ask("GET", path)
            assert (reply.status, reply.error[0]) == (426, "bad_request")


UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
RAW: list[tuple[bytes, bytes]] = [
    (b"hello\r\n\r\n", b"400"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),  # somebody speaks TLS
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400"),
    (b"GET / HTTP/1.1\r\n\r\n", b"400"),  # no Host
    (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
    (b"GET * HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
    (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
    (b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n", b"302"),
    (b"GET http://x/health HTTP/1.1\r\nHost: x\r\n\r\n", b"200"),
    (b"GET /health HTTP/1.0\r\n\r\n", b"200"),
    (b"GET /health HTTP/1.1\r\nHost: \xff\r\n\r\n", b"200"),
    (b"GET /health HTTP/1.1\r\nHost: [::1\r\n\r\n", b"200"),
    (b"GET /health HTTP/1.1\r\nHost: x; script-src *\r\n\r\n", b"200"),
    (b"GET /health HTTP/1.1\r\nHost: x:999999999\r\n\r\n", b"200"),
    (b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", b"200"),
    (b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: \xff\r\nUpgrade: \xff\r\n\r\n", b"200"),
    (b"GET /health HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 40_000 + b"\r\n\r\n", b"431"),
    (b"GET /" + b"b" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"431"),
    (b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 10_000 + b"\r\n", b"431"),
    (b"POST /api/v1/devices HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"400"),
    (b"POST /api/v1/devices HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
     b"Content-Length: 2\r\n\r\nx", b"400"),
    (b"POST /api/v1/devices HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x\r\n\r\n", b"501"),
    (b"POST /api/v1/devices HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nxx", b"400"),
    (b"GET /ws/phone HTTP/1.1\r\nHost: x\r\n" + UPGRADE + b"\r\n", b"400"),
    (b"GET /ws/phone HTTP/1.1\r\nHost: x\r\nConnection: \xff, upgrade\r\nUpgrade: websocket\r\n"
     b"Sec-WebSocket-Key: \xff\r\n\r\n", b"426"),
    (b"GET /ws/phone HTTP/1.1\r\nHost: x\r\n" + UPGRADE
     + b"Sec-WebSocket-Key: \xff\r\n\r\n", b"400"),
    (b"GET /ws/phone HTTP/1.1\r\nHost: x\r\n" + UPGRADE
     + b"Content-Length: 5\r\n\r\nhello", b"400"),
    (b"GET /nowhere HTTP/1.1\r\nHost: x\r\n" + UPGRADE + b"\r\n", b"404"),
    (b"POST /ws/phone HTTP/1.1\r\nHost: x\r\n" + UPGRADE + b"\r\n", b"405"),
]  # fmt: skip


async def test_whatever_a_stranger_sends_costs_only_his_connection(tmp_path: Path) -> None:
    async with open_relay(tmp_path) as relay:
        for data, status in RAW:
            heard = await relay.shout(data)
            assert heard.startswith(b"HTTP/1.1 " + status), (data[:90], heard[:300])
            if b"content-type" in heard and status >= b"400":
                body = heard.partition(b"\r\n\r\n")[2]
                assert set(json.loads(body)["error"]) == {"code", "message"}
        assert (await relay.ask("GET", "/health")).status == 200


async def test_one_connection_carries_many_requests(tmp_path: Path) -> None:
    async with open_relay(tmp_path) as relay:
        request = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
        head = b"HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n"
        heard = await relay.shout(request * 3 + head + request)
        assert heard.count(b"HTTP/1.1 200 ") == 5
        assert heard.count(b'"status":"ok"') == 4


async def test_garbage_behind_a_request_is_answered_too(tmp_path: Path) -> None:
    async with open_relay(tmp_path) as relay:
        heard = await relay.shout(b"HEAD /health HTTP/1.1\r\nHost: x\r\n\r\ngarbage\r\n\r\n")
        assert heard.count(b"HTTP/1.1 200 ") == 1
        assert heard.count(b"HTTP/1.1 400 ") == 1
        assert heard.endswith(b"}}")


async def test_a_client_that_asks_before_it_sends_is_told_to_go_on(tmp_path: Path) -> None:
    async with open_relay(tmp_path) as relay:
        heard = await relay.shout(
            b"POST /api/v1/devices HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n"
            b'Expect: 100-continue\r\n\r\n{"name":"x"}'
        )
        assert b"HTTP/1.1 201 " in heard


async def test_a_half_sent_request_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loopsy_relay.http._PATIENCE", 0.2)
    async with open_relay(tmp_path) as relay:

        def dawdle(data: bytes) -> bytes:
            address = (relay.address.host, relay.address.port)
            with socket.create_connection(address, timeout=PATIENCE) as raw:
                raw.sendall(data)
                return raw.recv(65536)

        assert await trio.to_thread.run_sync(dawdle, b"GET /health HT") == b""
        heard = await trio.to_thread.run_sync(
            dawdle, b"POST /api/v1/devices HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
        )
        assert heard.startswith(b"HTTP/1.1 408 ")


@pytest.mark.logs_errors
async def test_a_bug_costs_one_answer_and_shows_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(*_: Any) -> None:  # noqa: ANN401
        raise RuntimeError("a secret of ours")

    monkeypatch.setattr("loopsy_relay.accounts.Accounts.register", fail)
    async with open_relay(tmp_path) as relay:
        reply = await relay.ask("POST", "/api/v1/devices", {"name": "x"})
        assert (reply.status, reply.error[0]) == (500, "internal")
        assert b"secret" not in reply.body
        assert (await relay.ask("GET", "/health")).status == 200
    assert "a secret of ours" in caplog.text
