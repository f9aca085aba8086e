"""Frames: any split of the stream gives the same messages, and no length can hurt."""

from __future__ import annotations

import tracemalloc
from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.errors import ProtocolViolation
from loopsy_core.wire import MAX_MESSAGE, FrameDecoder, encode_frames, frame_parts
from loopsy_core.wire.frames import LEAST, READ_AHEAD
from tests.play import bounded, pieces
from tests.vectors.write import fill

sizes = st.lists(st.integers(1, 300), min_size=1, max_size=20)
some_messages = st.lists(st.binary(min_size=1, max_size=300), max_size=10)


@bounded(200)
@given(some_messages, sizes)
def test_any_split_of_the_stream_gives_the_same_messages(
    messages: list[bytes], sizes: list[int]
) -> None:
    decoder = FrameDecoder()
    heard: list[bytes] = []
    for piece in pieces(encode_frames(messages), sizes):
        heard += decoder.feed(piece)
    assert heard == messages
    assert not decoder.waiting


@bounded(50)
@given(some_messages.filter(bool), st.data())
def test_a_stream_that_is_cut_gives_what_was_whole_and_waits(
    messages: list[bytes], data: st.DataObject
) -> None:
    stream = encode_frames(messages)
    cut = data.draw(st.integers(1, len(stream)))
    decoder = FrameDecoder()
    heard = decoder.feed(stream[:cut])
    assert heard == messages[: len(heard)]
    assert decoder.waiting == (encode_frames(heard) != stream[:cut])


def test_a_message_is_whole_once_its_last_byte_is_there_and_not_before() -> None:
    decoder = FrameDecoder()
    *most, last = pieces(encode_frames([b"hello"]), [1])
    for byte in most:
        assert decoder.feed(byte) == []
        assert decoder.waiting
    assert decoder.feed(last) == [b"hello"]
    assert not decoder.waiting


def test_a_decoder_that_was_fed_nothing_waits_for_nothing() -> None:
    decoder = FrameDecoder()
    assert decoder.feed(b"") == []
    assert not decoder.waiting


@bounded(30)
@given(
    st.lists(st.integers(1, 9000) | st.sampled_from([READ_AHEAD, MAX_MESSAGE]), max_size=5),
    st.lists(st.integers(1000, 2 * READ_AHEAD), min_size=1, max_size=8),
)
def test_bytes_may_be_read_right_into_the_decoder(sizes: list[int], reads: list[int]) -> None:
    messages = [fill(size) for size in sizes]
    stream = memoryview(encode_frames(messages))
    decoder = FrameDecoder()
    heard: list[bytes] = []
    for most in cycle(reads):
        if not stream:
            break
        space = decoder.space()
        count = min(len(space), most, len(stream))
        space[:count] = stream[:count]
        stream = stream[count:]
        heard += map(bytes, decoder.came(count))
    assert heard == messages
    assert not decoder.waiting


def test_there_is_little_room_where_little_comes_and_more_where_much_does() -> None:
    decoder = FrameDecoder()

    def read(most: int) -> int:
        """Read what there is room for of small messages; return how much room there was."""
        space = decoder.space()
        count = min(len(space), most)
        space[:count] = encode_frames([b"four"]) * (count // 8)
        decoder.came(count)
        return len(space)

    assert read(8) == LEAST
    rooms = [read(1 << 20) for _ in range(5)]
    assert max(rooms) < READ_AHEAD + LEAST
    assert rooms[-1] > READ_AHEAD // 2
    read(8)
    assert read(8) == LEAST


def test_the_largest_message_passes() -> None:
    largest = bytes(MAX_MESSAGE)
    assert FrameDecoder().feed(encode_frames([largest, b"x"])) == [largest, b"x"]


@pytest.mark.parametrize("length", [0, MAX_MESSAGE + 1, 2**31, 2**32 - 1])
def test_a_length_out_of_range_is_refused_as_soon_as_it_can_be_read(length: int) -> None:
    decoder = FrameDecoder()
    claim = length.to_bytes(4, "big")
    for byte in pieces(claim[:3], [1]):
        assert decoder.feed(byte) == []
    with pytest.raises(ProtocolViolation, match=str(length)):
        decoder.feed(claim[3:])
    with pytest.raises(ProtocolViolation):
        FrameDecoder().feed(encode_frames([b"a good one before it"]) + claim + b"and after it")


def test_a_claim_of_four_gigabytes_costs_no_memory() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolViolation):
            FrameDecoder().feed(b"\xff\xff\xff\xff")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000


def test_a_smaller_limit_is_kept_as_well() -> None:
    assert FrameDecoder(3).feed(encode_frames([b"abc"])) == [b"abc"]
    with pytest.raises(ProtocolViolation):
        FrameDecoder(3).feed(encode_frames([b"abcd"]))


@pytest.mark.parametrize("message", [b"", bytes(MAX_MESSAGE + 1)])
def test_a_message_that_nobody_would_take_is_not_written(message: bytes) -> None:
    with pytest.raises(ValueError, match="1 to"):
        encode_frames([b"fine", message])


def test_frames_stand_behind_their_length_as_the_protocol_says() -> None:
    assert encode_frames([b"ab", b"c"]) == b"\0\0\0\2ab\0\0\0\1c"


def test_what_was_fed_may_change_afterwards() -> None:
    buffer = bytearray(encode_frames([b"hello"]) + b"\0\0")
    decoder = FrameDecoder()
    [message] = decoder.feed(buffer)
    buffer[:] = bytes(len(buffer))
    assert message == b"hello"
    assert decoder.feed(b"\0\1x") == [b"x"]


@pytest.mark.parametrize("sizes", [[], [1], [1, 2] * 2000, [32_768], [5, 260_000], [70_000] * 3])
def test_frames_in_parts_are_the_same_bytes_and_not_many_parts(sizes: list[int]) -> None:
    messages = [fill(size) for size in sizes]
    parts = frame_parts(messages)
    assert b"".join(parts) == encode_frames(messages)
    assert len(parts) <= 64
