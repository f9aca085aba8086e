"""The HTTP door of a real node: strangers, odd requests, stalls, keys, and what it costs."""

from __future__ import annotations

import json
import socket
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import attrs
import pytest
import trio

from loopsy_core.client import open_client
from loopsy_core.errors import Misconfigured
from loopsy_core.node import open_node
from loopsy_core.node.http import serving
from loopsy_core.wire import RotateKey
from tests.core.node.http_world import BASE, SETTINGS, open_door
from tests.world import PATIENCE, eventually

if TYPE_CHECKING:
    from loopsy_core.home import Home

ODD_TARGETS = [
    b"/api/v1/health",
    b"//api/v1/health",
    b"/api//v1///health",
    b"/api/v1/%68ealth",
    b"/%61pi/v1/health",
    b"/api%2Fv1%2Fhealth",
    b"/api/v1/health/",
    b"/api/v1/./health",
    b"/api/v1/../v1/health",
    b"/api/v1/health%00",
    b"/api/v1/health?key=x",
    b"/api/v1/health;a=b",
    b"/API/V1/HEALTH",
    b"/api/v1/openapi.json",
    b"/api/v1/%",
    b"/api/v1/%ff%fe",
    b"/",
    b"/nothing/of/ours",
    b"http://127.0.0.1/api/v1/health",
    b"https://evil.example/api/v1/health",
]


async def test_no_odd_url_gets_past_the_key(home: Home) -> None:
    async with open_door(home) as door:
        for target in ODD_TARGETS:
            for method in (b"GET", b"POST", b"HEAD", b"OPTIONS", b"TRACE", b"PATCH", b"X"):
                for version in (b"1.1", b"1.0"):
                    heard = await door.shout(
                        b"%s %s HTTP/%s\r\nHost: 127.0.0.1:%d\r\n\r\n"
                        % (method, target, version, door.port)
                    )
                    first = heard.partition(b"\r\n")[0]
                    assert first == b"HTTP/1.1 401 ", (method, target, heard)
                    assert b"access-control" not in heard.lower()
        assert (await door.ask("GET", "/health")).status == 200


RAW: list[tuple[bytes, bytes]] = [
    (b"hello\r\n\r\n", b"400"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),  # somebody speaks TLS
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400"),
    (b"GET /api/v1/health HTTP/1.1\r\n\r\n", b"400"),  # no Host
    (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
    (b"GET * HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
    (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
    (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
    (b"GET api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
    (b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", b"400"),
    (b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \r\n\r\n", b"401"),
    (b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\nConnection: \xff\r\n\r\n", b"401"),
    (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 40_000 + b"\r\n\r\n", b"431"),
    (b"GET /" + b"b" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"431"),
    (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 10_000 + b"\r\n", b"431"),
    (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"400"),
    (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x\r\n\r\n", b"501"),
]  # fmt: skip


async def test_what_is_no_request_costs_only_its_own_connection(home: Home) -> None:
    async with open_door(home) as door:
        for data, status in RAW:
            heard = await door.shout(data)
            assert heard.startswith(b"HTTP/1.1 " + status), (data[:90], heard[:300])
            error = json.loads(heard.partition(b"\r\n\r\n")[2])["error"]
            assert set(error) == {"code", "message"}
        assert (await door.ask("GET", "/health")).status == 200


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "OPTIONS", "PATCH", "HEAD", "PROPFIND"])
async def test_with_the_key_other_methods_are_refused(home: Home, method: str) -> None:
    async with open_door(home) as door:
        heard = await door.shout(door.head(method, "/health", 0, "Connection: close"))
        assert heard.split(b" ", 2)[1] in {b"405", b"400"}, heard


async def test_a_request_for_another_site_is_refused_though_it_has_the_key(home: Home) -> None:
    async with open_door(home) as door:
        other = await door.ask("GET", "/health", headers={"Host": "evil.example"})
        assert other.error[:2] == (403, 1004)
        page = await door.ask("GET", "/health", headers={"Origin": "http://evil.example"})
        assert page.error[:2] == (403, 1005)
        ours = {"Origin": f"http://localhost:{door.port}"}
        reply = await door.ask("GET", "/health", headers=ours)
        assert reply.status == 200
        assert not [name for name in reply.headers if name.lower().startswith("access-control")]


async def test_an_odd_url_with_the_key_is_not_found_and_nothing_else(home: Home) -> None:
    async with open_door(home) as door:
        for path in ["", "/", "/health/", "//health", "/%2e%2e/health", "/health%00", "/execute/a"]:
            status, code, _ = (await door.ask("GET", path)).error
            assert (status, code) in {(404, 9004), (405, 9003)}, path
        reply = await door.ask("GET", "/context/%ff")
        assert reply.error[:2] == (400, 5000)


async def test_refusals_do_not_fill_the_log(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "loopsy.http")
    async with open_door(home) as door:
        for _ in range(50):
            await door.shout(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert caplog.text.count("refused GET") == 10


async def test_one_connection_carries_many_requests(home: Home) -> None:
    async with open_door(home) as door:
        request = door.head("GET", "/health")
        heard = await door.shout(request * 4 + door.head("GET", "/health", 0, "Connection: close"))
        assert heard.count(b"HTTP/1.1 200 ") == 5


async def test_what_is_sent_behind_a_refused_request_is_not_looked_at(home: Home) -> None:
    async with open_door(home) as door:
        refused = b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n"
        heard = await door.shout(refused + door.head("GET", "/health"))
        assert heard.count(b"HTTP/1.1 ") == 1
        assert heard.startswith(b"HTTP/1.1 401 ")


async def test_a_half_sent_request_is_given_up(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "LIMITS", attrs.evolve(serving.LIMITS, patience=0.2))
    async with open_door(home) as door:
        assert await door.shout(b"GET /api/v1/heal") == b""
        heard = await door.shout(door.head("PUT", "/context/x", 100) + b'{"val')
        assert heard.startswith(b"HTTP/1.1 408 ")


async def test_those_who_only_hold_connections_make_room_for_who_asks(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loopsy_core.node.http.door.MAX_CONNECTIONS", 4)
    async with open_door(home) as door:
        holding = [await trio.open_tcp_stream("127.0.0.1", door.port) for _ in range(20)]
        assert (await door.ask("GET", "/health")).status == 200
        for stream in holding[:17]:  # whoever came first goes first
            assert await stream.receive_some() == b""
        for stream in holding:
            await stream.aclose()


async def test_nobody_makes_room_whose_request_is_being_answered(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loopsy_core.node.http.door.MAX_CONNECTIONS", 1)
    async with open_door(home) as door, door.listen("GET", "/events"):
        assert await door.shout(door.head("GET", "/health")) == b""


async def test_a_client_that_hangs_up_ends_its_stream(home: Home) -> None:
    async with open_door(home) as door, open_client(home) as client:
        async with door.listen("GET", "/events") as events:
            assert events.status == 200
            info = await client.start(["sleep", "100"])
            assert (await events.next())["type"] == "session_started"
            await client.end_session(info.id)
            ended = await events.next()
            assert ended == {
                "type": "session_ended",
                "id": info.id,
                "name": info.name,
                "exitCode": -1,
                "lost": None,
            }
        assert door.node.http.port is not None
        await eventually(lambda: _results(home, "events.watch") == ["left"])


def _results(home: Home, op: str) -> list[str]:
    lines = [json.loads(line) for line in home.audit_log.read_text().splitlines()]
    return [line["result"] for line in lines if line["op"] == op and line["actor"] == "http"]


async def test_a_new_key_counts_at_once_and_cuts_off_who_has_the_old_one(home: Home) -> None:
    async with open_door(home) as door, open_client(home) as client:
        old = door.key
        async with door.listen("GET", "/events") as events:
            await client.ask(RotateKey())
            with pytest.raises((EOFError, trio.BrokenResourceError)):
                await events.next()
        assert door.key != old
        stale = await door.ask("GET", "/health", headers={"Authorization": f"Bearer {old}"})
        assert stale.error[:2] == (401, 1002)
        assert (await door.ask("GET", "/health")).status == 200
        assert stat.S_IMODE(home.api_key.stat().st_mode) == 0o600


async def test_the_key_is_made_once_and_found_again(home: Home) -> None:
    async with open_door(home) as door:
        key = door.key
        assert stat.S_IMODE(home.api_key.stat().st_mode) == 0o600
    async with open_door(home) as door:
        assert door.key == key


@pytest.mark.parametrize("content", ["", "x", "0" * 63, "g" * 64])
async def test_a_file_that_is_no_key_is_an_error_that_does_not_show_it(
    home: Home, content: str
) -> None:
    home.api_key.write_text(content)
    home.api_key.chmod(0o600)
    with pytest.raises(Misconfigured, match="loopsy key generate") as raised:
        async with open_node(home):
            pass
    assert not content or content not in str(raised.value)


async def test_a_key_that_others_can_read_is_an_error(home: Home) -> None:
    home.api_key.write_text("0" * 64)
    home.api_key.chmod(0o644)
    with pytest.raises(Misconfigured, match="chmod 600"):
        async with open_node(home):
            pass


async def test_where_the_port_is_taken_the_node_lives_on_and_says_so(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with open_door(home, f"server: {{port: {port}}}\n"), open_client(home) as client:
            status = await client.status()
    assert status.http_port is None
    assert status.http_problem is not None
    assert f"port {port} on 127.0.0.1 is taken" in status.http_problem
    assert status.http_problem in caplog.text


async def test_a_port_of_0_is_any_free_one_and_status_tells_which(home: Home) -> None:
    async with open_door(home) as door, open_client(home) as client:
        status = await client.status()
        assert status.http_port == door.port > 0
        assert (await door.get("/status"))["httpPort"] == door.port


async def test_it_listens_on_ipv6_too_if_so_set(home: Home) -> None:
    async with open_door(home, "server: {port: 0, host: '::1'}\n") as door:
        host = {"Host": f"[::1]:{door.port}"}
        stream = await trio.open_tcp_stream("::1", door.port)
        async with stream:
            lines = [
                "GET /api/v1/health HTTP/1.1",
                f"Host: {host['Host']}",
                f"Authorization: Bearer {door.key}",
            ]
            await stream.send_all("\r\n".join([*lines, "", ""]).encode())
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 ")


_RUN = """
import sys, trio
from pathlib import Path
from loopsy_core.home import Home
from loopsy_core.node import open_node
LATE = ("h11", "quart", "quart_trio", "werkzeug", "hypercorn", "loopsy_core.node.http.app")
async def main():
    async with open_node(Home(Path(sys.argv[1]))) as node:
        print([name for name in LATE if name in sys.modules], flush=True)
        print(node.http.port, flush=True)
        await trio.to_thread.run_sync(sys.stdin.readline)
        print([name for name in LATE if name in sys.modules], flush=True)
        await trio.to_thread.run_sync(sys.stdin.readline)
        print([name for name in LATE if name in sys.modules], flush=True)
trio.run(main)
"""


def test_it_costs_nothing_until_somebody_comes_and_little_until_he_has_the_key(
    home: Home,
) -> None:
    home.config.write_text(SETTINGS)
    home.config.chmod(0o600)
    with subprocess.Popen(
        [sys.executable, "-c", _RUN, str(home.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "[]\n"
        port = int(process.stdout.readline())
        key = home.api_key.read_text().strip()
        for shown, loaded in (
            ("wrong", ["h11"]),
            (key, ["h11", "quart", "quart_trio", "werkzeug", "hypercorn"]),
        ):
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as raw:
                lines = [
                    f"GET {BASE}/health HTTP/1.1",
                    f"Host: 127.0.0.1:{port}",
                    f"Authorization: Bearer {shown}",
                ]
                raw.sendall("\r\n".join([*lines, "", ""]).encode())
                assert raw.recv(65536)
            process.stdin.write("\n")
            process.stdin.flush()
            found = process.stdout.readline()
            assert [name for name in loaded if repr(name) in found] == loaded
            assert ("quart" in found) == (shown == key)
