"""WebSockets to a relay, for real: refusals, silence, close codes and goodbyes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
import trio
import trio.lowlevel

from loopsy_core.errors import Busy, Gone, LoopsyError, NotFound, ProtocolViolation, Refused
from loopsy_core.links import open_conversation, websocket
from loopsy_core.links.websocket import (
    MAX_TRANSPORT_MESSAGE,
    WebSocketChannel,
    open_websocket_channel,
)
from tests.core.links.fake_relay import (
    PATIENCE,
    accept_by_hand,
    open_fake_relay,
    open_raw_relay,
)
from tests.core.links.links_world import Tell

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_websocket import WebSocketRequest

BEARER = "id.a-very-secret_bearer"


async def repeat(request: WebSocketRequest) -> None:
    socket = await request.accept(subprotocol="loopsy.v1")
    while True:
        await socket.send_message(await socket.get_message())


def closing(code: int, why: str | None = None) -> Callable[[WebSocketRequest], Awaitable[None]]:
    async def serve(request: WebSocketRequest) -> None:
        socket = await request.accept(subprotocol="loopsy.v1")
        await socket.aclose(code, why)

    return serve


async def test_messages_of_any_size_go_both_ways() -> None:
    async with (
        open_fake_relay(repeat) as url,
        open_websocket_channel(url, "/ws/node", BEARER) as channel,
    ):
        for message in (b"x", bytes(70_000), bytes(MAX_TRANSPORT_MESSAGE)):
            await channel.send([message])
            assert await channel.receive() == [message]
        await channel.send([b"1", b"2", b"3"])
        assert [await channel.receive() for _ in range(3)] == [[b"1"], [b"2"], [b"3"]]


async def test_the_bearer_travels_in_a_header_and_in_no_address() -> None:
    seen: list[WebSocketRequest] = []

    async def look(request: WebSocketRequest) -> None:
        seen.append(request)
        await repeat(request)

    async with (
        open_fake_relay(look) as url,
        open_websocket_channel(url + "/behind/a/proxy", "/ws/node", BEARER),
    ):
        pass
    [request] = seen
    assert request.path == "/behind/a/proxy/ws/node"
    assert request.proposed_subprotocols == ("loopsy.v1", f"loopsy.bearer.{BEARER}")
    others = [value for name, value in request.headers if name != b"sec-websocket-protocol"]
    assert not any(BEARER.encode() in value for value in others)


# Not let in.


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, Refused), (403, Refused), (429, Busy), (404, Gone), (500, Gone), (200, Gone)],
)
@pytest.mark.parametrize("body", [b"", b'{"error": {"code": "x", "message": "y"}}'])
async def test_a_refusal_is_one_of_our_errors(
    status: int, kind: type[LoopsyError], body: bytes
) -> None:
    async def refuse(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        head = b"HTTP/1.1 %d No\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
        await stream.send_all(head + body)
        await trio.sleep_forever()

    async with open_raw_relay(refuse) as url:
        with pytest.raises(LoopsyError) as caught:
            async with open_websocket_channel(url, "/ws/node", BEARER):
                raise AssertionError("nobody let us in")
        assert type(caught.value) is kind
        assert BEARER not in str(caught.value)


async def test_where_nobody_listens_it_is_gone() -> None:
    async with open_raw_relay(lambda stream: stream.aclose()) as url:
        pass
    with trio.fail_after(PATIENCE), pytest.raises(Gone, match="cannot be reached"):
        async with open_websocket_channel(url, "/ws/node", BEARER):
            raise AssertionError("nobody let us in")


@pytest.mark.parametrize(
    "reply",
    [b"SSH-2.0-OpenSSH_9.9\r\n\r\n", b"\0" * 100, b"HTTP/1.1 101 Switching Protocols\r\n\r\n"],
)
async def test_what_is_no_relay_is_gone(reply: bytes) -> None:
    async def answer(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(reply)
        await trio.sleep_forever()

    async with open_raw_relay(answer) as url:
        with pytest.raises(Gone, match="does not answer"), trio.fail_after(PATIENCE / 2):
            async with open_websocket_channel(url, "/ws/node", BEARER):
                raise AssertionError("nobody let us in")


async def test_a_relay_that_takes_the_call_and_says_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket, "OPENING", 0.2)

    async def say_nothing(_stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with open_raw_relay(say_nothing) as url:
        began = trio.current_time()
        with pytest.raises(Gone, match="does not answer"):
            async with open_websocket_channel(url, "/ws/node", BEARER):
                raise AssertionError("nobody let us in")
        assert 0.2 <= trio.current_time() - began < PATIENCE / 2


async def test_a_relay_without_tls_is_not_talked_to_as_if_it_had() -> None:
    heard = b""

    async def listen(stream: trio.SocketStream) -> None:
        nonlocal heard
        heard = await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with open_raw_relay(listen) as url:
        with pytest.raises(Gone, match="securely"):
            async with open_websocket_channel(url.replace("http", "https"), "/ws", BEARER):
                raise AssertionError("nobody let us in")
    assert heard
    assert BEARER.encode() not in heard


@pytest.mark.parametrize("bearer", ["two\r\nlines: x", "not-ascii-é"])
async def test_a_bearer_that_fits_no_header_is_not_sent(bearer: str) -> None:
    async with open_fake_relay(repeat) as url:
        with pytest.raises(Gone) as caught:
            async with open_websocket_channel(url, "/ws/node", bearer):
                raise AssertionError("nobody let us in")
        assert bearer not in str(caught.value)


# The end.


@pytest.mark.parametrize(
    ("code", "why", "kind", "says"),
    [
        (1000, None, Gone, "lost"),
        (1001, "the relay stops", Gone, "the relay stops"),
        (4401, "", Refused, "does not know"),
        (4404, "", Gone, "not connected"),
        (4408, "you did not read", Gone, "did not read"),
        (4409, "", Gone, "lost"),
        (4410, "wrong_code:2", Refused, "wrong_code:2"),
        (4410, "offer_gone", Refused, "offer_gone"),
        (4410, "unknown_key", Refused, "unknown_key"),
        (4410, "revoked", Refused, "revoked"),
        (4410, "protocol", Gone, "protocol"),
        (4410, "bye", Gone, "bye"),
        (4411, "", Gone, "not connected"),
        (4429, "", Busy, "wait"),
        (4999, "from the future", Gone, "from the future"),
    ],
)
async def test_a_close_code_becomes_one_of_our_errors(
    code: int, why: str | None, kind: type[LoopsyError], says: str
) -> None:
    async with open_fake_relay(closing(code, why)) as url:
        for use in (WebSocketChannel.receive, send_for_ever):
            with pytest.raises(LoopsyError, match=says) as caught:
                async with open_websocket_channel(url, "/ws/phone", BEARER) as channel:
                    await use(channel)
            assert type(caught.value) is kind


async def send_for_ever(channel: WebSocketChannel) -> None:
    while True:
        await channel.send([b"x"])


async def test_a_connection_that_breaks_off_is_gone() -> None:
    async def break_off(stream: trio.SocketStream) -> None:
        await accept_by_hand(stream)

    async with open_raw_relay(break_off) as url:
        with pytest.raises(Gone, match="lost"):
            async with open_websocket_channel(url, "/ws/node", BEARER) as channel:
                await channel.receive()


@pytest.mark.parametrize("garbage", [b"\xff" * 100, b"\x83\x00", b"\xc2\x01x"])
async def test_garbage_on_an_open_websocket_ends_it(garbage: bytes) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await accept_by_hand(stream)
        await stream.send_all(garbage)
        await trio.aclose_forcefully(stream)

    async with open_raw_relay(serve) as url:
        with pytest.raises(Gone):
            async with open_websocket_channel(url, "/ws/node", BEARER) as channel:
                await channel.receive()


async def test_text_is_none_of_our_messages() -> None:
    async def talk(request: WebSocketRequest) -> None:
        socket = await request.accept(subprotocol="loopsy.v1")
        await socket.send_message("hello")
        await socket.get_message()

    async with open_fake_relay(talk) as url:
        with pytest.raises(ProtocolViolation, match="text"):
            async with open_websocket_channel(url, "/ws/node", BEARER) as channel:
                await channel.receive()


async def test_a_message_beyond_the_limit_ends_the_connection() -> None:
    async def flood(request: WebSocketRequest) -> None:
        socket = await request.accept(subprotocol="loopsy.v1")
        await socket.send_message(bytes(MAX_TRANSPORT_MESSAGE + 1))
        await socket.get_message()

    async with open_fake_relay(flood) as url:
        with pytest.raises(Gone):
            async with open_websocket_channel(url, "/ws/node", BEARER) as channel:
                await channel.receive()


async def test_a_relay_that_answers_no_pings_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "PING_EVERY", 0.05)
    monkeypatch.setattr(websocket, "PONG_WITHIN", 0.1)

    async def fall_asleep(stream: trio.SocketStream) -> None:
        await accept_by_hand(stream)
        await trio.sleep_forever()

    async with open_raw_relay(fall_asleep) as url:
        with pytest.raises(Gone, match="any more"):
            async with open_websocket_channel(url, "/ws/node", BEARER) as channel:
                await channel.keep_alive()


async def test_a_relay_that_answers_pings_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "PING_EVERY", 0.01)
    async with (
        open_fake_relay(repeat) as url,
        open_websocket_channel(url, "/ws/node", BEARER) as channel,
    ):
        with trio.move_on_after(0.2):
            await channel.keep_alive()
        await channel.send([b"still there?"])
        assert await channel.receive() == [b"still there?"]


# Leaving.


async def test_the_blocks_own_errors_pass_through_as_they_are() -> None:
    async with open_fake_relay(repeat) as url:
        with pytest.raises(NotFound, match="something else"):
            async with open_websocket_channel(url, "/ws/node", BEARER):
                raise NotFound("something else")
        with pytest.raises(KeyError):
            async with open_websocket_channel(url, "/ws/node", BEARER):
                raise KeyError


async def test_a_ping_that_meets_our_goodbye_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async def ping_late(stream: trio.SocketStream) -> None:
        await accept_by_hand(stream)
        while data := await stream.receive_some():
            if data[0] == 0x88:  # a close frame
                await stream.send_all(b"\x89\x01x")  # a ping

    async with open_raw_relay(ping_late) as url:
        with pytest.raises(NotFound):
            async with open_websocket_channel(url, "/ws/node", BEARER):
                raise NotFound("the reason why we leave")
        async with open_websocket_channel(url, "/ws/node", BEARER):
            pass
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_relay_that_does_not_say_goodbye_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket, "GOODBYE", 0.1)

    async def say_nothing_more(stream: trio.SocketStream) -> None:
        await accept_by_hand(stream)
        await trio.sleep_forever()

    async with open_raw_relay(say_nothing_more) as url:
        began = trio.current_time()
        async with open_websocket_channel(url, "/ws/node", BEARER):
            pass
        assert trio.current_time() - began < PATIENCE / 2


async def test_the_word_of_goodbye_reaches_the_relay() -> None:
    words: list[tuple[int, str | None]] = []

    async def listen(request: WebSocketRequest) -> None:
        socket = await request.accept(subprotocol="loopsy.v1")
        try:
            await socket.get_message()
        finally:
            assert socket.closed
            words.append((socket.closed.code, socket.closed.reason))

    async with open_fake_relay(listen) as url:
        async with open_websocket_channel(url, "/ws/node", BEARER) as channel:
            await channel.aclose("revoked")
            with pytest.raises(Gone):
                await channel.send([b"x"])
            with pytest.raises(Gone):
                await channel.receive()
        async with open_websocket_channel(url, "/ws/node", BEARER):
            pass
        await trio.testing.wait_all_tasks_blocked(0.01)
    assert words == [(1000, "revoked"), (1000, "bye")]


async def test_a_conversation_over_a_websocket_ends_with_the_relays_reason() -> None:
    async def revoke(request: WebSocketRequest) -> None:
        socket = await request.accept(subprotocol="loopsy.v1")
        await socket.get_message()
        await socket.aclose(4410, "revoked")

    async with (
        open_fake_relay(revoke) as url,
        open_websocket_channel(url, "/ws/phone", BEARER) as channel,
        open_conversation(channel, opener=True) as ours,
    ):
        with pytest.raises(Refused, match="revoked"):
            await ours.ask(Tell())


async def test_whoever_connects_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    async def say_nothing(_stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with open_raw_relay(say_nothing) as url:
        with trio.move_on_after(0.1) as scope:
            async with open_websocket_channel(url, "/ws/node", BEARER):
                raise AssertionError("nobody let us in")
        assert scope.cancelled_caught
