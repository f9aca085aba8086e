"""The relay's requests over HTTP, against a server that answers whatever a test wants."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

from loopsy_core.errors import (
    BadRequest,
    Busy,
    Gone,
    LoopsyError,
    Misconfigured,
    NotFound,
    Refused,
)
from loopsy_core.links import relay_api
from loopsy_core.links.relay_api import PairToken, Redeemed, Registered, RelayApi, parse_relay_url

if TYPE_CHECKING:
    from collections.abc import Generator

PATIENCE = 20.0  # seconds for anything here, on a busy machine
REGISTERED = {"deviceId": "d1", "secret": "d1.se_cret-"}


@attrs.frozen
class Request:
    """What the server was asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@attrs.define
class Server:
    """A relay that answers every request alike."""

    url: str
    status: int = 200
    headers: dict[str, str] = attrs.field(factory=dict)
    body: bytes = b""
    act: Callable[[BaseHTTPRequestHandler], None] | None = None
    requests: list[Request] = attrs.field(factory=list)

    def answers(self, status: int, value: object, **headers: str) -> None:
        self.status = status
        self.body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.headers = headers


@contextmanager
def open_server() -> Generator[Server]:
    server: Server

    class Answerer(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            server.requests.append(Request(self.command, self.path, dict(self.headers), body))
            if server.act is not None:
                server.act(self)
                return
            self.send_response(server.status)
            for name, value in server.headers.items():
                self.send_header(name, value)
            if server.status != 204:
                self.send_header("Content-Length", str(len(server.body)))
            self.end_headers()
            self.wfile.write(server.body)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - as http.server wants them

        def log_message(self, *_args: object) -> None:
            """Be quiet."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Answerer)
    server = Server(f"http://127.0.0.1:{listening.server_port}")
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


async def test_every_request_is_asked_as_the_protocol_says() -> None:
    with open_server() as server, trio.fail_after(PATIENCE):
        api = RelayApi(server.url, "se.cret")
        server.answers(201, REGISTERED | {"new": True})
        assert await api.register("kai") == Registered("d1", "d1.se_cret-")
        server.answers(201, {"token": "to.ken", "expiresAt": 1.5})
        assert await api.issue(300.0) == PairToken("to.ken", 1.5)
        server.answers(201, {"phoneId": "p1", "bearer": "be.arer", "deviceId": "d1"})
        assert await api.redeem("to.ken", "Phöne") == Redeemed("p1", "be.arer", "d1")
        server.answers(204, b"")
        await api.unregister()
        await api.revoke_phone("p1")
    said = [(each.method, each.path, json.loads(each.body or b"null")) for each in server.requests]
    assert said == [
        ("POST", "/api/v1/devices", {"name": "kai"}),
        ("POST", "/api/v1/pair/issue", {"ttl": 300.0}),
        ("POST", "/api/v1/pair/redeem", {"token": "to.ken", "name": "Phöne"}),
        ("DELETE", "/api/v1/device", None),
        ("DELETE", "/api/v1/phones/p1", None),
    ]
    assert {each.headers["Authorization"] for each in server.requests} == {"Bearer se.cret"}


async def test_without_a_secret_none_is_sent() -> None:
    with open_server() as server:
        server.answers(201, REGISTERED)
        await RelayApi(server.url).register("kai")
    assert "Authorization" not in server.requests[0].headers


def test_a_secret_is_kept_out_of_logs() -> None:
    assert "se.cret" not in repr(RelayApi("http://relay", "se.cret"))


@pytest.mark.parametrize(
    "phone", ["../device", "a/b", "a?b", "a b", "a#b", "p\r\nX: y", "pé", "%2e%2e", ""]
)
async def test_an_odd_name_of_a_phone_stays_within_its_path(phone: str) -> None:
    with open_server() as server:
        server.answers(204, b"")
        await RelayApi(server.url).revoke_phone(phone)
    [request] = server.requests
    folder, _, name = request.path.rpartition("/")
    assert folder == "/api/v1/phones"
    assert not set(name) & set("/?# \r\n")


# What goes wrong.


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "bad_request", BadRequest),
        (401, "refused", Refused),
        (403, "refused", Refused),
        (404, "not_found", NotFound),
        (429, "busy", Busy),
        (503, "gone", Gone),
        (500, "misconfigured", Misconfigured),
        (500, "internal", LoopsyError),
        (418, "teapot", LoopsyError),
    ],
)
async def test_a_refusal_is_raised_by_its_code(
    status: int, code: str, kind: type[LoopsyError]
) -> None:
    with open_server() as server:
        server.answers(status, {"error": {"code": code, "message": "no, because"}})
        with pytest.raises(LoopsyError, match="the relay says: no, because") as caught:
            await RelayApi(server.url).register("kai")
        assert type(caught.value) is kind


async def test_a_refusal_of_any_length_is_kept_short() -> None:
    with open_server() as server:
        server.answers(400, {"error": {"code": "refused", "message": "x" * 500_000}})
        with pytest.raises(Refused) as caught:
            await RelayApi(server.url).register("kai")
        assert len(caught.value.message) < 1000


NONSENSE: list[Any] = [
    b"",
    b"<html>hello</html>",
    b"\xff\xfe",
    b'"\xff"',
    b'{"deviceId": "a", "secret": "\xff"}',
    b"[" * 100_000,
    b'{"deviceId": "a", "secret": "b", "x": ' + b"[" * 100_000,
    {},
    [],
    {"deviceId": "a"},
    {"deviceId": 1, "secret": "b"},
    {"device_id": "a", "secret": "b"},
    {"deviceId": "a", "secret": ""},
    {"deviceId": "a", "secret": "two\r\nlines"},
    {"deviceId": "a", "secret": "a, b"},
    {"deviceId": "a", "secret": "x" * 513},
    {"error": "no"},
    {"error": {"code": 5, "message": "x"}},
]


@pytest.mark.parametrize("status", [200, 201, 400, 500])
async def test_a_reply_of_the_wrong_form_is_no_relays(status: int) -> None:
    with open_server() as server, trio.fail_after(PATIENCE):
        for nonsense in NONSENSE:
            server.answers(status, nonsense)
            with pytest.raises(Gone, match="does not answer like a Loopsy relay"):
                await RelayApi(server.url).register("kai")


async def test_a_huge_reply_is_not_read_to_its_end() -> None:
    written = 0

    def flood(handler: BaseHTTPRequestHandler) -> None:
        nonlocal written
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(1000):
                handler.wfile.write(b" " * 100_000)
                written += 100_000
        except OSError:
            pass  # it is hung up on

    with open_server() as server, trio.fail_after(PATIENCE):
        server.act = flood
        with pytest.raises(Gone):
            await RelayApi(server.url).register("kai")
    assert written < 50_000_000


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_leads_nowhere(status: int) -> None:
    with open_server() as elsewhere, open_server() as server:
        elsewhere.answers(200, REGISTERED)
        server.answers(status, b"", Location=f"{elsewhere.url}/api/v1/devices")
        for request in (
            lambda api: api.register("kai"),
            lambda api: api.redeem("to.ken", "phone"),
            lambda api: api.unregister(),
        ):
            with pytest.raises(Gone, match=f"HTTP {status}"):
                await request(RelayApi(server.url, "se.cret"))
    assert len(server.requests) == 3
    assert not elsewhere.requests  # not even without: a stranger may have named the relay


async def test_where_nobody_listens_it_is_gone() -> None:
    with open_server() as server:
        pass
    with pytest.raises(Gone, match=r"cannot be reached: Connection refused$"):
        await RelayApi(server.url).register("kai")
    with pytest.raises(Gone, match="cannot be reached"):
        await RelayApi("http://no-such-host.invalid").register("kai")


@pytest.mark.parametrize("reply", [b"", b"SSH-2.0-OpenSSH_9.9\r\n", b"\0" * 100, b"HTTP/1.1 x\r\n"])
async def test_what_speaks_no_http_is_gone(reply: bytes) -> None:
    def talk(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(reply)
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)

    with open_server() as server:
        server.act = talk
        with pytest.raises(Gone, match="cannot be reached"):
            await RelayApi(server.url).register("kai")


async def test_a_secret_that_fits_no_header_is_not_sent() -> None:
    with open_server() as server:
        for secret in ("two\r\nX-Lines: 1", "not-ascii-\u20ac"):
            with pytest.raises(Gone):
                await RelayApi(server.url, secret).register("kai")
    assert server.requests == []


async def test_a_relay_that_is_slow_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_api, "TIMEOUT", 0.1)
    hang = threading.Event()

    def wait(_handler: BaseHTTPRequestHandler) -> None:
        hang.wait(PATIENCE)

    with open_server() as server, trio.fail_after(PATIENCE):
        server.act = wait
        try:
            with pytest.raises(Gone, match="cannot be reached"):
                await RelayApi(server.url).register("kai")
        finally:
            hang.set()


async def test_a_relay_that_drips_is_given_up_and_keeps_no_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_api, "TIMEOUT", 0.2)
    done = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while not done.wait(0.02):
                handler.wfile.write(b" ")
        except OSError:
            pass  # it is hung up on

    with open_server() as server, trio.fail_after(PATIENCE):
        server.act = drip
        try:
            began = time.monotonic()
            with pytest.raises(Gone):
                await RelayApi(server.url).register("kai")
            assert time.monotonic() - began < PATIENCE / 2
            assert relay_api._threads.borrowed_tokens == 0  # noqa: SLF001 - how many are at work
        finally:
            done.set()


async def test_a_request_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    hang = threading.Event()

    def wait(_handler: BaseHTTPRequestHandler) -> None:
        hang.wait(PATIENCE)

    with open_server() as server:
        server.act = wait
        with trio.move_on_after(0.1) as scope:
            await RelayApi(server.url).register("kai")
        hang.set()
        assert scope.cancelled_caught


# Addresses.


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("https://relay.example", "https://relay.example"),
        (" https://relay.example/ \n", "https://relay.example"),
        ("HTTP://Relay.Example:8080//", "http://relay.example:8080"),
        ("https://relay.example/behind/a/proxy/", "https://relay.example/behind/a/proxy"),
        ("http://[::1]:80", "http://[::1]:80"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1"),
    ],
)
def test_an_address_is_kept_in_its_plain_form(text: str, plain: str) -> None:
    assert parse_relay_url(text) == plain
    assert parse_relay_url(plain) == plain


@pytest.mark.parametrize(
    "text",
    [
        "",
        "relay.example",
        "relay.example:8080",
        "//relay.example",
        "ftp://relay.example",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://",
        "https:///path",
        "https://user@relay.example",
        "https://user:password@relay.example",
        "https://relay.example?x=1",
        "https://relay.example#x",
        "https://relay.example:port",
        "https://relay.example:99999",
        "https://[::1",
        "https://relay example",
        "https://relay.example/a b",
        "https://relay.example/\x7f",
        "https://relay.exa\x00mple",
        "https://relay.example/\u20ac",
    ],
)
def test_what_is_no_address_of_a_relay_is_refused(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_relay_url(text)
    assert "password" not in caught.value.message
    assert len(caught.value.message) < 300
