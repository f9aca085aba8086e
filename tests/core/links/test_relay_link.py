"""A node and its relay: phones apart from one another, and floods that hurt their sender alone."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from loopsy_core.errors import Gone, LoopsyError, ProtocolViolation, Refused
from loopsy_core.links import relay
from loopsy_core.links.relay import PhoneChannel, serve_phones
from loopsy_core.wire import (
    Bytes,
    Close,
    Envelope,
    Joined,
    Left,
    encode,
    encode_envelope,
)
from tests.core.links.fake_relay import RelayEnd, open_fake_relay

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from trio_websocket import WebSocketRequest


class Phones:
    """What a node does with its phones here: it repeats what they say, and remembers them."""

    def __init__(self) -> None:
        self.channels: list[PhoneChannel] = []
        self.ends: list[LoopsyError] = []
        self.reading = True

    async def serve(self, channel: PhoneChannel) -> None:
        self.channels.append(channel)
        if not self.reading:
            await trio.sleep_forever()
        try:
            while True:
                await channel.send(await channel.receive())
        except LoopsyError as error:
            self.ends.append(error)
            raise


@asynccontextmanager
async def open_link(
    serve: Callable[[PhoneChannel], Awaitable[None]],
) -> AsyncGenerator[RelayEnd]:
    """Have a node serve its phones with `serve`; yields the relay's end of its link."""
    ends, link = trio.open_memory_channel[RelayEnd](1)

    async def accept(request: WebSocketRequest) -> None:
        ends.send_nowait(RelayEnd(await request.accept(subprotocol="loopsy.v1")))
        await trio.sleep_forever()

    async with open_fake_relay(accept) as url, trio.open_nursery() as nursery:
        connected = trio.Event()

        @nursery.start_soon
        async def be_a_node() -> None:
            await serve_phones(url, "secret", serve, on_connected=connected.set)

        await connected.wait()
        yield await link.receive()
        nursery.cancel_scope.cancel()


async def test_a_phone_joins_talks_and_leaves() -> None:
    phones = Phones()
    async with open_link(phones.serve) as end:
        await end.says(Joined(7, "a phone", "::1"), Bytes(7, b"hello"))
        assert await end.hears() == Bytes(7, b"hello")
        [channel] = phones.channels
        assert (channel.client, channel.address) == ("a phone", "::1")
        await end.says(Bytes(7, b"last words"), Left(7, "its tab was closed"))
        assert await end.hears() == Bytes(7, b"last words")
        await wait_all_tasks_blocked(0.01)
        assert [type(error) for error in phones.ends] == [Gone]


async def test_two_phones_talk_at_once_and_neither_hears_the_other() -> None:
    async with open_link(Phones().serve) as end:
        await end.says(Joined(1, "one", "a"), Joined(2, "two", "b"))
        for number in range(50):
            await end.says(Bytes(1, b"1:%d" % number), Bytes(2, b"2:%d" % number))
        heard: dict[int, list[bytes]] = {1: [], 2: []}
        for _ in range(100):
            envelope = await end.hears()
            assert isinstance(envelope, Bytes)
            heard[envelope.conn].append(envelope.sealed)
        for conn in (1, 2):
            assert heard[conn] == [b"%d:%d" % (conn, number) for number in range(50)]


async def test_a_number_can_be_used_again_by_the_next_phone() -> None:
    phones = Phones()
    async with open_link(phones.serve) as end:
        for name in ("one", "two", "three"):
            await end.says(Joined(5, name, "a"), Bytes(5, name.encode()))
            assert await end.hears() == Bytes(5, name.encode())
            await end.says(Left(5, "bye"))
        assert [channel.client for channel in phones.channels] == ["one", "two", "three"]


async def test_whoever_is_served_no_more_is_told_goodbye() -> None:
    async def serve(channel: PhoneChannel) -> None:
        [said] = await channel.receive()
        await channel.aclose(said.decode())

    async with open_link(serve) as end:
        await end.says(Joined(1, "one", "a"), Bytes(1, b"revoked"))
        assert await end.hears() == Close(1, "revoked")
        await end.says(Joined(2, "two", "a"), Bytes(2, b"x" * 500))
        assert await end.hears() == Close(2, "x" * 100)  # no longer, or the relay would refuse it


@pytest.mark.logs_errors
async def test_an_error_in_serving_one_phone_ends_with_it(caplog: pytest.LogCaptureFixture) -> None:
    async def serve(channel: PhoneChannel) -> None:
        [said] = await channel.receive()
        if said == b"bug":
            raise ZeroDivisionError("of all things")
        if said == b"refused":
            raise Refused("not you")
        await channel.send([said])

    async with open_link(serve) as end:
        await end.says(Joined(1, "one", "a"), Bytes(1, b"bug"))
        assert await end.hears() == Close(1, "bye")
        await end.says(Joined(2, "two", "from here"), Bytes(2, b"refused"))
        assert await end.hears() == Close(2, "bye")
        await end.says(Joined(3, "three", "a"), Bytes(3, b"hello"))
        assert [await end.hears(), await end.hears()] == [Bytes(3, b"hello"), Close(3, "bye")]
    levels = [(record.levelno, record.message) for record in caplog.records]
    assert [level for level, _ in levels] == [logging.ERROR, logging.WARNING]
    assert "of all things" in levels[0][1]
    assert "from here" in levels[1][1]


async def test_what_comes_for_nobody_is_passed_over() -> None:
    async with open_link(Phones().serve) as end:
        await end.says(Bytes(9, b"for nobody"), Left(9, "nobody"))
        await end.says(Joined(1, "one", "a"), Bytes(1, b"hello"))
        assert await end.hears() == Bytes(1, b"hello")


# Floods.


@pytest.mark.parametrize("size", [10_000, 0])
async def test_a_phone_that_floods_is_cut_off_while_the_other_goes_on(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "MAX_UNREAD", 100_000)
    phones = Phones()

    async def serve(channel: PhoneChannel) -> None:
        phones.reading = channel.client != "flood"
        await phones.serve(channel)

    async with open_link(serve) as end:
        await end.says(Joined(1, "flood", "a"), Joined(2, "calm", "b"))
        cut = False
        for number in range(10_000):
            await end.says(Bytes(1, bytes(size)))
            if number % 100 == 0:
                await end.says(Bytes(2, b"%d" % number))
                envelope = await end.hears()
                if cut := envelope == Close(1, "protocol"):
                    assert await end.hears() == Bytes(2, b"%d" % number)
                    break
                assert envelope == Bytes(2, b"%d" % number)
        assert cut
        await end.says(Bytes(1, b"still under way"), Bytes(2, b"still there?"))
        assert await end.hears() == Bytes(2, b"still there?")


async def test_a_phone_that_is_read_may_send_as_much_as_it_likes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay, "MAX_UNREAD", 100_000)
    async with open_link(Phones().serve) as end:
        await end.says(Joined(1, "one", "a"))
        for number in range(30):
            said = bytes([number]) * 10_000
            await end.says(Bytes(1, said))
            assert await end.hears() == Bytes(1, said)


async def test_a_phone_too_many_is_sent_away_and_hurts_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay, "MAX_PHONES", 2)
    async with open_link(Phones().serve) as end:
        await end.says(*(Joined(conn, "a phone", "a") for conn in (1, 2, 3)))
        assert await end.hears() == Close(3, "protocol")
        await end.says(Bytes(3, b"what?"), Bytes(2, b"hello"))
        assert await end.hears() == Bytes(2, b"hello")
        await end.says(Left(1, "bye"), Joined(4, "next", "a"), Bytes(4, b"hello"))
        assert await end.hears() == Bytes(4, b"hello")


async def test_a_relay_that_lets_phones_in_without_end_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay, "MAX_PHONES", 2)
    monkeypatch.setattr(relay, "MAX_TASKS", 10)
    served = 0

    async def serve(_channel: PhoneChannel) -> None:
        nonlocal served
        served += 1
        with trio.CancelScope(shield=True):  # as when it writes to the disk
            await trio.sleep(0.2)

    with pytest.raises(ProtocolViolation, match="more phones"):
        await linked_to_one_who_says(
            *(
                envelope
                for conn in range(100)
                for envelope in (Joined(conn, "p", "a"), Left(conn, ""))
            ),
            serve=serve,
        )
    assert served <= 10


# The end of the link.


async def linked_to_one_who_says(
    *said: Envelope | bytes | str,
    serve: Callable[[PhoneChannel], Awaitable[None]] | None = None,
    code: int | None = None,
) -> None:
    """Be a node whose relay says these things, and then hangs up with `code` if there is one."""

    async def talk(request: WebSocketRequest) -> None:
        socket = await request.accept(subprotocol="loopsy.v1")
        for each in said:
            raw = isinstance(each, (bytes, str))
            await socket.send_message(each if raw else encode_envelope(each))
        if code is not None:
            await socket.aclose(code)
        await trio.sleep_forever()

    async with open_fake_relay(talk) as url:
        await serve_phones(url, "secret", serve or Phones().serve, on_connected=lambda: None)


@pytest.mark.parametrize(
    "said",
    [
        [b""],
        [b"garbage"],
        [encode([99, 1])],
        [encode([2, -1, b""])],
        ["text"],
        [Close(1, "bye")],
        [Joined(1, "one", "a"), Joined(1, "two", "b")],
        [Joined(1, "one", "a"), Bytes(1, b"x"), b"\xc1"],
    ],
    ids=[
        "nothing",
        "garbage",
        "an unknown kind",
        "a negative number",
        "text",
        "what only nodes say",
        "a phone twice",
        "something good, then garbage",
    ],
)
async def test_a_relay_that_breaks_the_protocol_is_left(said: list[Envelope | bytes]) -> None:
    with pytest.raises(ProtocolViolation):
        await linked_to_one_who_says(*said)


@pytest.mark.parametrize(
    ("code", "kind"), [(1001, Gone), (4401, Refused), (4409, Gone), (1011, Gone)]
)
async def test_a_relay_that_hangs_up_ends_the_link_with_its_reason(
    code: int, kind: type[LoopsyError]
) -> None:
    phones = Phones()
    with pytest.raises(LoopsyError) as caught:
        await linked_to_one_who_says(Joined(1, "one", "a"), serve=phones.serve, code=code)
    assert type(caught.value) is kind


async def test_phones_on_a_lost_link_are_gone_with_it() -> None:
    heard: list[object] = []

    async def serve(channel: PhoneChannel) -> None:
        with trio.CancelScope(shield=True):
            try:
                await channel.receive()
            except Gone as error:
                heard.append(error)
            with pytest.raises(Gone):
                await channel.send([b"x"])
            await channel.aclose()

    with pytest.raises(Gone):
        await linked_to_one_who_says(Joined(1, "one", "a"), serve=serve, code=1001)
    assert len(heard) == 1


async def test_a_relay_that_is_not_there_or_refuses() -> None:
    async def refuse(request: WebSocketRequest) -> None:
        await request.reject(401)

    async with open_fake_relay(refuse) as url:
        with pytest.raises(Refused):
            await serve_phones(url, "secret", Phones().serve, on_connected=lambda: None)
    with pytest.raises(Gone):
        await serve_phones(url, "secret", Phones().serve, on_connected=lambda: None)
