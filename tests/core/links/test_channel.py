"""Channels: whole messages over any split of the bytes, sealed or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import memory_stream_pair

from loopsy_core.errors import Gone, ProtocolViolation
from loopsy_core.links import FramedChannel, SealedChannel, receive_one
from loopsy_core.wire import (
    MAX_MESSAGE,
    Cipher,
    SealedConnection,
    encode_frames,
)
from tests.core.links.links_world import FailingChannel, channels
from tests.play import bounded, pieces
from tests.vectors.write import fill

if TYPE_CHECKING:
    from loopsy_core.links import Channel

some_messages = st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=10)
sizes = st.lists(st.integers(1, 300), min_size=1, max_size=20)


async def receive_all(channel: Channel) -> list[bytes]:
    received: list[bytes] = []
    try:
        while True:
            received += await channel.receive()
    except Gone:
        return received


def sealed_channels() -> tuple[SealedChannel, SealedChannel]:
    one, other = channels()
    there, back = b"\1" * 32, b"\2" * 32
    return (
        SealedChannel(one, SealedConnection(Cipher(there), Cipher(back))),
        SealedChannel(other, SealedConnection(Cipher(back), Cipher(there))),
    )


@bounded(50)
@given(some_messages, sizes)
async def test_messages_arrive_however_the_stream_is_split(
    messages: list[bytes], sizes: list[int]
) -> None:
    stream, other = memory_stream_pair()
    channel = FramedChannel(other)
    received: list[bytes] = []
    for piece in pieces(encode_frames(messages), sizes):
        await stream.send_all(piece)
        with trio.move_on_after(0):
            received += await channel.receive()
    await stream.aclose()
    assert received + await receive_all(channel) == messages


async def test_messages_go_both_ways() -> None:
    one, other = channels()
    await one.send([b"there", b"and there"])
    await other.send([b"back"])
    assert await other.receive() == [b"there", b"and there"]
    assert await one.receive() == [b"back"]


async def test_messages_sent_together_go_in_one_write() -> None:
    stream, other = memory_stream_pair()
    deliver = stream.send_stream.send_all_hook
    writes: list[None] = []

    async def count_and_deliver() -> None:
        writes.append(None)
        await deliver()

    stream.send_stream.send_all_hook = count_and_deliver
    await FramedChannel(stream).send([b"x"] * 100)
    assert len(writes) == 1
    assert await FramedChannel(other).receive() == [b"x"] * 100


@pytest.mark.parametrize("begun", [b"", b"\0", b"\0\0\0\5", b"\0\0\0\5hell"])
async def test_the_end_of_the_stream_is_gone_also_within_a_message(begun: bytes) -> None:
    stream, other = memory_stream_pair()
    await stream.send_all(encode_frames([b"whole"]) + begun)
    await stream.aclose()
    assert await receive_all(FramedChannel(other)) == [b"whole"]


@pytest.mark.parametrize("claim", [b"\0\0\0\0", b"\0\x10\0\1", b"\xff\xff\xff\xff", b"GET "])
async def test_a_claim_beyond_the_limit_breaks_the_protocol_before_anything_follows(
    claim: bytes,
) -> None:
    stream, other = memory_stream_pair()
    await stream.send_all(claim)
    with pytest.raises(ProtocolViolation):
        await FramedChannel(other).receive()


async def test_a_channel_that_was_closed_is_gone() -> None:
    one, other = channels()
    await one.aclose()
    await one.aclose()
    with pytest.raises(Gone):
        await one.send([b"x"])
    with pytest.raises(Gone):
        await one.receive()
    with pytest.raises(Gone):
        await other.receive()
    await other.aclose()


async def test_sending_to_a_stream_whose_other_end_broke_is_gone() -> None:
    stream, other = memory_stream_pair()
    await trio.aclose_forcefully(other)
    with pytest.raises(Gone):
        await FramedChannel(stream).send([b"x"])


async def test_a_handshake_waits_for_exactly_one_message() -> None:
    one, other = channels()
    await one.send([b"hello"])
    assert await receive_one(other) == b"hello"
    await one.send([b"hello", b"and more, too early"])
    with pytest.raises(ProtocolViolation, match="more than one"):
        await receive_one(other)


# Sealed.


@bounded(20)
@given(st.lists(st.lists(st.integers(1, 2000), min_size=1, max_size=5), min_size=1, max_size=5))
async def test_sealed_messages_arrive_in_any_batches(batches: list[list[int]]) -> None:
    one, other = sealed_channels()
    for batch in batches:
        await one.send([fill(size) for size in batch])
    await one.aclose()
    assert await receive_all(other) == [fill(size) for batch in batches for size in batch]


async def test_a_message_in_fragments_is_received_whole() -> None:
    one, other = sealed_channels()
    largest = fill(MAX_MESSAGE)
    await one.send([b"before", largest, b"after"])
    await other.send([largest])
    received: list[bytes] = []
    while len(received) < 3:
        received += await other.receive()
    assert received == [b"before", largest, b"after"]
    assert await one.receive() == [largest]


async def test_what_was_changed_on_the_way_breaks_the_protocol_for_good() -> None:
    one, other = channels()
    reading = SealedChannel(other, SealedConnection(Cipher(bytes(32)), Cipher(b"\1" * 32)))
    good = SealedConnection(Cipher(b"\1" * 32), Cipher(bytes(32))).seal(b"good")[0]
    await one.send([good[:-1] + b"\0"])
    for _ in range(2):
        with pytest.raises(ProtocolViolation):
            await reading.receive()
        await one.send([good])
    with pytest.raises(ProtocolViolation):
        await reading.send([b"x"])


async def test_the_reason_of_the_end_is_told_to_the_transport() -> None:
    transport = FailingChannel()
    connection = SealedConnection(Cipher(bytes(32)), Cipher(bytes(32)))
    await SealedChannel(transport, connection).aclose("revoked")
    assert transport.closed_with == ["revoked"]


async def test_a_cancelled_receive_loses_nothing() -> None:
    one, other = sealed_channels()
    for number in range(20):
        with trio.move_on_after(0):
            await other.receive()
        await one.send([b"%d" % number])
        assert await other.receive() == [b"%d" % number]


def socket_channels() -> tuple[FramedChannel, FramedChannel]:
    one, other = trio.socket.socketpair()
    return FramedChannel(trio.SocketStream(one)), FramedChannel(trio.SocketStream(other))


async def test_what_fits_a_socket_is_sent_at_once() -> None:
    near, far = socket_channels()
    assert near.send_nowait([b"one", b"two"])
    assert not near.unsent
    with trio.fail_after(5):
        assert await far.receive() == [b"one", b"two"]
    for channel in (near, far):
        await channel.aclose()


async def test_what_a_socket_does_not_take_goes_ahead_of_the_next() -> None:
    near, far = socket_channels()
    large = [bytes([number]) * 900_000 for number in range(1, 4)]
    assert near.send_nowait(large)
    assert near.unsent
    assert not near.send_nowait([b"too early"]), "nothing may overtake what is half written"
    received: list[bytes] = []

    async def receive() -> None:
        while len(received) < 4:
            received.extend(await far.receive())

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await near.send([b"last"])
    assert received == [*large, b"last"]
    for channel in (near, far):
        await channel.aclose()


async def test_a_lost_socket_is_told_by_the_next_send_only() -> None:
    near, far = socket_channels()
    await far.aclose()
    assert near.send_nowait([b"into the void"])
    assert near.unsent
    with pytest.raises(Gone):
        await near.send([])
    await near.aclose()


async def test_other_streams_have_to_be_waited_for() -> None:
    near, _ = channels()
    assert not near.send_nowait([b"x"])
    assert not near.unsent
