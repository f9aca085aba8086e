"""A live view against a host that speaks by hand: pictures in mid-stream, typing by several."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from loopsy_core.client import Client, Drawn, Viewing
from loopsy_core.errors import Gone, ProtocolViolation
from loopsy_core.wire import (
    CHUNK,
    WINDOW,
    AttachReply,
    AttachSession,
    Ended,
    Picture,
    Resized,
    Resumed,
    Typed,
    decode,
)
from tests.world import open_talk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from loopsy_core.links import Asked


class Host:
    """A host that follows a script, and keeps what was typed."""

    def __init__(self, *script: Callable[[Asked], Awaitable[None]]) -> None:
        self.typed = bytearray()
        self.requests: list[AttachSession] = []
        self._scripts = list(script)

    async def answer(self, asked: Asked) -> AttachReply:
        self.requests.append(decode(asked.params, AttachSession))
        await self._scripts[len(self.requests) - 1](asked)
        return AttachReply(0)

    async def take(self, asked: Asked, count: int) -> None:
        """Take in `count` typed bytes."""
        end = len(self.typed) + count
        while len(self.typed) < end:
            piece = await asked.receive()
            assert isinstance(piece, bytes)
            self.typed += piece
        assert len(self.typed) == end


def picture(offset: int = 0, typed: int = 0, length: int = 0) -> Picture:
    return Picture("e", offset, typed, 80, 24, "a title", length)


async def test_a_picture_in_mid_stream_acknowledges_and_what_is_under_way_is_not_sent_again() -> (
    None
):
    async def script(asked: Asked) -> None:
        await asked.send_item(picture())
        await host.take(asked, 10)
        await asked.send_item(picture(offset=5000, typed=4, length=3))
        await asked.send(b"vt!")
        await host.take(asked, 5)
        await asked.send_item(Typed(15))
        await asked.send_item(Ended(0))

    host = Host(script)
    with trio.fail_after(5):
        async with (
            open_talk(host.answer) as (talk, _),
            Client(talk).attach("s", cols=80, rows=24) as (attached, first),
        ):
            assert first == Drawn(b"", 80, 24, "a title")
            await attached.type(b"0123456789")
            assert await attached.receive() == Drawn(b"vt!", 80, 24, "a title")
            await attached.type(b"abcde")
            assert await attached.receive() == Ended(0)
    assert host.typed == b"0123456789abcde"


async def test_tasks_that_type_at_once_are_resent_in_the_order_in_which_they_were_sent() -> None:
    size = CHUNK + 1000

    async def first_time(asked: Asked) -> None:
        await asked.send_item(picture())
        await host.take(asked, CHUNK)
        await trio.sleep_forever()

    async def second_time(asked: Asked) -> None:
        got = len(host.typed)
        await asked.send_item(Resumed("e", 0, got, 80, 24, ""))
        await host.take(asked, 8 * size - got)
        await asked.send_item(Ended(0))

    host = Host(first_time, second_time)
    viewing = Viewing("s")
    with trio.fail_after(10):
        async with (
            open_talk(host.answer) as (talk, pipe),
            Client(talk).attach(viewing, cols=80, rows=24) as (attached, _),
            trio.open_nursery() as nursery,
        ):

            async def type_letters(letter: bytes) -> None:
                with suppress(Gone):
                    await attached.type(letter * size)

            for letter in b"abcdefgh":
                nursery.start_soon(type_letters, bytes([letter]))
            await wait_all_tasks_blocked()
            pipe.cut()
        async with (
            open_talk(host.answer) as (talk, _),
            Client(talk).attach(viewing, cols=80, rows=24) as (attached, drawn),
        ):
            assert drawn is None
            assert await attached.receive() == Ended(0)
    runs = [bytes(host.typed[at : at + size]) for at in range(0, 8 * size, size)]
    assert sorted(runs) == [bytes([letter]) * size for letter in b"abcdefgh"]


async def test_what_a_cancelled_typist_left_goes_ahead_of_what_is_typed_next() -> None:
    more = WINDOW + 10_000

    async def script(asked: Asked) -> None:
        await asked.send_item(picture())
        await go_on.wait()
        await host.take(asked, more + 3)
        await asked.send_item(Ended(0))

    go_on = trio.Event()
    host = Host(script)
    with trio.fail_after(10):
        async with (
            open_talk(host.answer) as (talk, _),
            Client(talk).attach("s", cols=80, rows=24) as (attached, _),
        ):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(attached.type, b"x" * more)
                await wait_all_tasks_blocked()  # no room is left
                nursery.cancel_scope.cancel()
            go_on.set()
            await attached.type(b"end")
            assert await attached.receive() == Ended(0)
    assert host.typed == b"x" * more + b"end"


async def test_sizes_and_output_come_in_their_order() -> None:
    async def script(asked: Asked) -> None:
        await asked.send_item(picture(length=6))
        await asked.send(b"dra")
        await asked.send(b"wn!")
        await asked.send(b"one")
        await asked.send_item(Resized(100, 30))
        await asked.send(b"two")
        await asked.send_item(Ended(-9))

    host = Host(script)
    viewing = Viewing("s")
    with trio.fail_after(5):
        async with (
            open_talk(host.answer) as (talk, _),
            Client(talk).attach(viewing, cols=80, rows=24) as (attached, drawn),
        ):
            assert drawn == Drawn(b"drawn!", 80, 24, "a title")
            shown = [await attached.receive() for _ in range(4)]
    assert shown == [b"one", Resized(100, 30), b"two", Ended(-9)]
    assert viewing.request(80, 24).offset == 6


async def test_a_size_that_changed_while_the_viewer_was_away_comes_before_more_output() -> None:
    async def first_time(asked: Asked) -> None:
        await asked.send_item(picture())
        await asked.send(b"one")
        await asked.send_item(Resized(90, 20))
        await trio.sleep_forever()

    async def second_time(asked: Asked) -> None:
        await asked.send_item(Resumed("e", 3, 0, 100, 30, ""))
        await asked.send(b"two")
        await trio.sleep_forever()

    async def third_time(asked: Asked) -> None:
        await asked.send_item(Resumed("e", 6, 0, 100, 30, ""))
        await asked.send(b"three")
        await asked.send_item(Ended(0))

    host = Host(first_time, second_time, third_time)
    viewing = Viewing("s")
    shown: list[object] = []
    with trio.fail_after(5):
        for count in (2, 2, 2):
            async with (
                open_talk(host.answer) as (talk, pipe),
                Client(talk).attach(viewing, cols=80, rows=24) as (attached, _),
            ):
                shown.append([await attached.receive() for _ in range(count)])
                pipe.cut()
    assert shown == [
        [b"one", Resized(90, 20)],
        [Resized(100, 30), b"two"],
        [b"three", Ended(0)],
    ]


async def no_more(_: Asked) -> None:
    await trio.lowlevel.checkpoint()


async def output_first(asked: Asked) -> None:
    await asked.send(b"output")


async def size_first(asked: Asked) -> None:
    await asked.send_item(Resized(80, 24))


async def picture_too_long(asked: Asked) -> None:
    await asked.send_item(picture(length=3))
    await asked.send(b"four")


async def picture_cut_short(asked: Asked) -> None:
    await asked.send_item(picture(length=5))
    await asked.send(b"four")
    await asked.send_item(Ended(0))


async def resumed_from_nowhere(asked: Asked) -> None:
    await asked.send_item(Resumed("e", 0, 0, 80, 24, ""))


async def typed_by_nobody(asked: Asked) -> None:
    await asked.send_item(picture(typed=3))


@pytest.mark.parametrize(
    "script",
    [
        no_more,
        output_first,
        size_first,
        picture_too_long,
        picture_cut_short,
        resumed_from_nowhere,
        typed_by_nobody,
    ],
)
async def test_a_host_that_begins_with_nonsense_is_found_out(
    script: Callable[[Asked], Awaitable[None]],
) -> None:
    with trio.fail_after(5):
        async with open_talk(Host(script).answer) as (talk, _):
            with pytest.raises(ProtocolViolation):
                await attach(Client(talk))


async def attach(client: Client) -> None:
    async with client.attach("s", cols=80, rows=24):
        pass
