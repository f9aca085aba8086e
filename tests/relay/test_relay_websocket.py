"""One WebSocket over memory streams: what it hands out, refuses and answers."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import memory_stream_pair, wait_all_tasks_blocked
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage

from loopsy_relay.connection import Ending, HungUp
from loopsy_relay.outbox import Outbox
from loopsy_relay.websocket import WebSocket

if TYPE_CHECKING:
    from trio.testing import MockClock

LONGEST = 100_000


class Client:
    """The other end: a client made of wsproto and a stream."""

    def __init__(self, stream: trio.abc.HalfCloseableStream) -> None:
        self.stream = stream
        self.protocol = Connection(ConnectionType.CLIENT)

    async def send(self, *events: Event) -> None:
        await self.stream.send_all(b"".join(self.protocol.send(event) for event in events))

    async def hear(self) -> list[Event]:
        """Return all that was sent up to now."""
        await wait_all_tasks_blocked()
        with trio.move_on_after(0.1):
            self.protocol.receive_data(bytes(await self.stream.receive_some()))
        return list(self.protocol.events())


def make(silence: float = 45.0, first_bytes: bytes = b"") -> tuple[WebSocket, Client]:
    ours, theirs = memory_stream_pair()
    socket = WebSocket(
        ours,
        Outbox(1 << 20),
        first_bytes=first_bytes,
        longest_message=LONGEST,
        silence_seconds=silence,
    )
    return socket, Client(theirs)


async def ending_of(socket: WebSocket) -> Ending:
    with pytest.raises(HungUp) as caught:
        await socket.receive()
    return caught.value.ending


async def test_messages_pass_both_ways() -> None:
    socket, client = make()
    await client.send(BytesMessage(b"one"), BytesMessage(b""), BytesMessage(bytes(70_000)))
    assert [await socket.receive() for _ in range(3)] == [b"one", b"", bytes(70_000)]
    await socket.send([b"a", bytes(70_000), b""])
    heard = [event.data for event in await client.hear() if isinstance(event, BytesMessage)]
    assert b"".join(map(bytes, heard)) == b"a" + bytes(70_000)


async def test_fragments_become_one_message() -> None:
    socket, client = make()
    await client.send(
        BytesMessage(b"a", message_finished=False),
        BytesMessage(b"b", message_finished=False),
        Ping(b"in between"),
        BytesMessage(b"c"),
        BytesMessage(b"next"),
    )
    assert await socket.receive() == b"abc"
    assert await socket.receive() == b"next"


async def test_bytes_that_came_with_the_handshake_are_not_lost() -> None:
    data = Connection(ConnectionType.CLIENT).send(BytesMessage(b"eager"))
    socket, _ = make(first_bytes=data)
    assert await socket.receive() == b"eager"


async def test_a_message_of_the_longest_length_passes_and_one_more_does_not() -> None:
    socket, client = make()
    await client.send(BytesMessage(bytes(LONGEST)))
    assert len(await socket.receive()) == LONGEST
    await client.send(BytesMessage(bytes(LONGEST + 1)))
    assert (await ending_of(socket)).code == 1009


async def test_fragments_count_together() -> None:
    socket, client = make()
    pieces = [BytesMessage(bytes(1000), message_finished=False) for _ in range(LONGEST // 1000 + 1)]
    await client.send(*pieces)
    assert (await ending_of(socket)).code == 1009


async def test_a_length_beyond_reason_is_refused_before_it_has_come() -> None:
    socket, client = make()
    await client.stream.send_all(b"\x82\xff" + (2**40).to_bytes(8, "big") + b"mask")
    await client.stream.send_all(bytes(LONGEST + 70_000))
    assert (await ending_of(socket)).code == 1009


async def test_text_is_refused() -> None:
    socket, client = make()
    await client.send(TextMessage("hello"))
    assert (await ending_of(socket)).code == 1003


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x82\x05hello", 1002),  # not masked
        (b"\xf2\x80mask", 1002),  # reserved bits
        (b"\x83\x80mask", 1002),  # an opcode that is not defined
        (b"\x80\x80mask", 1002),  # a continuation of nothing
        (b"\x09\x80mask", 1002),  # a ping in fragments
        (b"\x89\xfe\x00\x7emask", 1002),  # a ping that is too long
        (b"\x82\xfe\x00\x01mask", 1002),  # a length in more bytes than it needs
        (b"\x81\x82\x00\x00\x00\x00\xff\xff", 1007),  # text that is no UTF-8
    ],
)
async def test_broken_frames_are_refused(data: bytes, code: int) -> None:
    socket, client = make()
    await client.stream.send_all(data)
    assert (await ending_of(socket)).code == code


async def test_a_ping_is_answered_by_the_writer() -> None:
    socket, client = make()
    await client.send(Ping(b"first"), Ping(b"newest"), BytesMessage(b"x"))
    assert await socket.receive() == b"x"
    batch = await socket.outbox.take()
    assert batch == []
    await socket.send(batch)
    assert await client.hear() == [Pong(b"newest")]


async def test_a_close_is_answered_with_its_own_code() -> None:
    for code, answer in [(1000, 1000), (4000, 4000), (1001, 1001)]:
        socket, client = make()
        await client.send(CloseConnection(code, "bye"))
        ending = await ending_of(socket)
        assert ending.code == answer
        with trio.move_on_after(0.1):
            await socket.close(ending)
        [heard] = await client.hear()
        assert isinstance(heard, CloseConnection)
        assert heard.code == answer


async def test_a_close_without_a_code_is_answered(autojump_clock: MockClock) -> None:
    socket, client = make()
    await client.stream.send_all(b"\x88\x80mask")
    ending = await ending_of(socket)
    with trio.move_on_after(0.1):
        await socket.close(ending)
    await client.stream.send_eof()


async def test_closing_says_why_and_waits_for_the_answer(autojump_clock: MockClock) -> None:
    socket, client = make()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(socket.close, Ending(4410, "wrong_code:2" + "ä" * 100))
        await wait_all_tasks_blocked()
        [heard] = await client.hear()
        assert isinstance(heard, CloseConnection)
        assert heard.code == 4410
        assert (heard.reason or "").startswith("wrong_code:2ä")
        # A client that is still sending must not have the goodbye reset under its feet.
        fresh = Connection(ConnectionType.CLIENT)
        await client.stream.send_all(fresh.send(BytesMessage(bytes(LONGEST * 2))))
        await wait_all_tasks_blocked()
        assert nursery.child_tasks
        await client.send(heard.response())


async def test_closing_ends_when_the_other_side_just_hangs_up(autojump_clock: MockClock) -> None:
    socket, client = make()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(socket.close, Ending(1001, "bye"))
        await wait_all_tasks_blocked()
        await client.stream.send_eof()


async def test_an_end_of_the_stream_is_the_end() -> None:
    socket, client = make()
    await client.send(BytesMessage(b"half", message_finished=False))
    await client.stream.send_eof()
    assert (await ending_of(socket)).code is None


async def test_after_a_cancelled_send_nothing_more_is_sent(autojump_clock: MockClock) -> None:
    socket, client = make()
    ours = socket._stream  # noqa: SLF001 - the only way to make a memory stream full
    assert isinstance(ours, trio.StapledStream)
    stuck = trio.Event()
    ours.send_stream.send_all_hook = stuck.wait
    with trio.move_on_after(1) as scope:
        await socket.send([bytes(10)])
    assert scope.cancelled_caught
    with pytest.raises(HungUp):
        await socket.send([b"more"])
    with trio.move_on_after(1):
        await socket.close(Ending(4408, "it did not read"))
    heard = await client.hear()
    assert not any(isinstance(event, CloseConnection) for event in heard)


async def test_silence_is_noticed_only_while_listening(autojump_clock: MockClock) -> None:
    socket, _ = make(silence=45)
    await trio.sleep(100)
    assert socket.keep_alive(trio.current_time())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(socket.receive)
        await trio.sleep(44)
        assert socket.keep_alive(trio.current_time())
        await trio.sleep(2)
        assert not socket.keep_alive(trio.current_time())
        nursery.cancel_scope.cancel()


async def test_a_sign_of_life_is_asked_for_with_a_ping() -> None:
    socket, client = make()
    assert socket.keep_alive(trio.current_time())
    await socket.send(await socket.outbox.take() or [])
    assert await client.hear() == [Ping(b"")]


async def test_many_small_messages_let_others_run() -> None:
    socket, client = make()
    await client.send(*[BytesMessage(b"x")] * 500)
    ran = 0
    async with trio.open_nursery() as nursery:

        async def other() -> None:
            nonlocal ran
            while True:
                ran += 1
                await trio.lowlevel.checkpoint()

        nursery.start_soon(other)
        for _ in range(500):
            await socket.receive()
        nursery.cancel_scope.cancel()
    assert ran >= 10


opcodes = st.sampled_from([0x0, 0x1, 0x2, 0x3, 0x8, 0x9, 0xA, 0xF])
frames = st.builds(
    lambda opcode, fin, mask, payload: (
        bytes([opcode | fin, len(payload) | mask]) + bytes(4 if mask else 0) + payload
    ),
    opcodes,
    st.sampled_from([0x80, 0x80, 0x80, 0x00, 0xC0]),
    st.sampled_from([0x80, 0x80, 0x80, 0x00]),
    st.binary(max_size=125),
)


@given(st.lists(frames | st.binary(max_size=20), max_size=10), st.integers(1, 50))
async def test_whatever_bytes_come_they_are_messages_or_the_end(
    pieces: list[bytes], step: int
) -> None:
    socket, client = make()
    data = b"".join(pieces)
    for start in range(0, len(data), step):
        await client.stream.send_all(data[start : start + step])
    await client.stream.send_eof()
    while True:
        try:
            assert isinstance(await socket.receive(), bytes)
            await socket.send([])
        except HungUp as hung_up:
            await socket.close(hung_up.ending)
            break


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x82\xff" + (2**63).to_bytes(8, "big") + bytes(4),
        b"\xf2\x85" + bytes(9),
        b"\x82\x05hello",
    ],
    ids=["a frame of 2^63 bytes", "reserved bits", "no mask"],
)
async def test_what_comes_behind_a_broken_frame_is_not_hoarded(nonsense: bytes) -> None:
    socket, client = make()
    flood, pieces = bytes(65_536), 256
    await client.stream.send_all(nonsense)
    ending = await ending_of(socket)
    assert ending.code in {1002, 1009}

    async def go_on() -> None:
        for _ in range(pieces):
            await client.stream.send_all(flood)
            await wait_all_tasks_blocked()  # a memory stream holds what nobody has read
        await client.stream.aclose()

    tracemalloc.start()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(go_on)
            await socket.close(ending)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < pieces * len(flood) / 4


async def test_ten_thousand_pings_in_one_read_let_others_have_their_turn() -> None:
    socket, client = make()
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    pings = b"".join(client.protocol.send(Ping()) for _ in range(10_000))
    await client.stream.send_all(pings + client.protocol.send(BytesMessage(b"done")))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        assert await socket.receive() == b"done"
        nursery.cancel_scope.cancel()
    assert turns > 100
