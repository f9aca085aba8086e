"""Calling a node through its relay: whoever answers proves itself, and refusals say why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.errors import Gone, LoopsyError, NotFound, ProtocolViolation, Refused
from loopsy_core.links import open_conversation, relay
from loopsy_core.links.relay import open_sealed_by_relay
from loopsy_core.wire import (
    Introduction,
    Knock,
    greet,
)
from tests.core.links.fake_relay import PATIENCE, open_fake_relay
from tests.core.links.links_world import Tell, Told, echo
from tests.core.wire.keys import key, public

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_websocket import WebSocketConnection, WebSocketRequest

# Calling a node through its relay.

PHONE = Introduction("Phone", "0.1.0")
NODE = Introduction("kai", "0.1.0")


def node(
    then: Callable[[WebSocketConnection, object], Awaitable[None]] | None = None,
    static: str = "node",
) -> Callable[[WebSocketRequest], Awaitable[None]]:
    """Return a relay behind which a node answers with the key `static`, and `then` goes on."""

    async def serve(request: WebSocketRequest) -> None:
        socket = await request.accept(subprotocol="loopsy.v1")
        first = await socket.get_message()
        assert isinstance(first, bytes)
        heard = Knock.parse(first).read(key(static), public(static))
        second, established = heard.accept(NODE)
        await socket.send_message(second)
        if then is not None:
            await then(socket, established)
        await trio.sleep_forever()

    return serve


def calling(url: str) -> object:
    return open_sealed_by_relay(url, "bearer", greet(key("phone"), public("node"), PHONE))


async def test_a_node_is_called_through_its_relay() -> None:
    async def answer(socket: WebSocketConnection, established: object) -> None:
        class Records(relay.WebSocketChannel):
            pass

        channel = relay.SealedChannel(Records(socket), established.connection)
        async with open_conversation(channel, opener=False, answer=echo) as ours:
            await ours.wait_closed()

    async with open_fake_relay(node(answer)) as url, calling(url) as (channel, established):
        assert established.introduction == NODE
        assert established.remote == public("node")
        async with open_conversation(channel, opener=True) as ours:
            assert await ours.ask(Tell(text="hi")) == Told("tell:hi")


async def test_a_machine_that_does_not_answer_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "HANDSHAKE", 0.1)

    async def say_nothing(request: WebSocketRequest) -> None:
        await request.accept(subprotocol="loopsy.v1")
        await trio.sleep_forever()

    async with open_fake_relay(say_nothing) as url:
        with pytest.raises(Gone, match="does not answer"):
            async with calling(url):
                raise AssertionError("nobody answered")


@pytest.mark.parametrize("second", [b"", b"x", bytes(200)])
async def test_whoever_is_not_the_machine_is_found_out(second: bytes) -> None:
    async def pretend(request: WebSocketRequest) -> None:
        socket = await request.accept(subprotocol="loopsy.v1")
        await socket.get_message()
        await socket.send_message(second)
        await trio.sleep_forever()

    async with open_fake_relay(pretend) as url:
        with pytest.raises(ProtocolViolation, match="not the machine"):
            async with calling(url):
                raise AssertionError("a stranger answered")


@pytest.mark.parametrize(
    ("code", "why", "kind"),
    [
        (4410, "unknown_key", Refused),
        (4410, "wrong_code:1", Refused),
        (4404, "not connected", Gone),
    ],
)
async def test_a_refusal_says_why(code: int, why: str, kind: type[LoopsyError]) -> None:
    async def refuse(request: WebSocketRequest) -> None:
        socket = await request.accept(subprotocol="loopsy.v1")
        await socket.get_message()
        await socket.aclose(code, why)

    async with open_fake_relay(refuse) as url:
        with pytest.raises(LoopsyError, match=why) as caught:
            async with calling(url):
                raise AssertionError("we were refused")
        assert type(caught.value) is kind


async def test_being_revoked_in_the_middle_of_a_conversation_is_what_calls_raise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("loopsy_core.links.websocket.PING_EVERY", 0.01)  # pings are hit as well

    async def revoke(socket: WebSocketConnection, _established: object) -> None:
        await socket.get_message()
        await socket.aclose(4410, "revoked")

    async with open_fake_relay(node(revoke)) as url, calling(url) as (channel, _):
        async with open_conversation(channel, opener=True) as ours:
            with pytest.raises(Refused, match="revoked"):
                await ours.ask(Tell())
        await trio.sleep(0.05)


async def test_the_blocks_own_errors_pass_through_as_they_are() -> None:
    async with open_fake_relay(node()) as url:
        with pytest.raises(NotFound), trio.fail_after(PATIENCE):
            async with calling(url):
                raise NotFound("something else")
