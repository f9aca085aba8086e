"""One file's bytes as two machines: any cut, any pieces, and never a file that is not the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.errors import BadRequest, LoopsyError, ProtocolViolation
from loopsy_core.wire import encode
from loopsy_core.wire.transfer import (
    FileBegins,
    FileEnds,
    FileHave,
    ReceiverItem,
    ReceivingFile,
    SenderItem,
    SendingFile,
    decode_receiver_item,
    decode_sender_item,
)
from tests.core.wire.values import documents, values
from tests.play import bounded, pieces

if TYPE_CHECKING:
    from collections.abc import Sequence

sizes = st.lists(st.integers(1, 50), min_size=1, max_size=5)


class Receiver:
    """A receiver with a disk, which keeps its bytes when a connection is cut."""

    def __init__(self, disk: bytes = b"") -> None:
        self.disk = disk
        self.machine: ReceivingFile

    def connect(self, size: int, cut: Sequence[int]) -> FileHave:
        self.machine = ReceivingFile(size)
        for piece in pieces(self.disk, cut):
            self.machine.hash_prefix(piece)
        return self.machine.have()

    def begin(self, offset: int) -> None:
        if not self.machine.begin(offset):
            self.disk = b""

    def take(self, data: bytes) -> None:
        self.machine.take(data)
        self.disk += data


def begin(source: bytes, have: FileHave, cut: Sequence[int]) -> SendingFile:
    """Begin to send `source`, comparing its beginning in pieces."""
    sending = SendingFile(len(source), have)
    for piece in pieces(source[: sending.prefix_left], cut):
        sending.hash_prefix(piece)
    return sending


@bounded(300)
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4), sizes, sizes)
def test_a_file_arrives_whatever_is_cut_and_nothing_is_sent_twice(
    source: bytes, cuts: list[int], cut: list[int], other_cut: list[int]
) -> None:
    receiver = Receiver()
    sent = 0
    for stop in [*cuts, len(source)]:
        sending = begin(source, receiver.connect(len(source), other_cut), cut)
        offset = sending.begin()
        assert offset == len(receiver.disk)  # it goes on exactly where it was
        receiver.begin(offset)
        for piece in pieces(source[offset : max(offset, stop)], cut):
            sending.sent(piece)
            receiver.take(piece)
            sent += len(piece)
    receiver.machine.end(sending.end())
    assert receiver.disk == source
    assert sent == len(source)


@bounded(300)
@given(st.binary(max_size=200), st.binary(max_size=200), sizes)
def test_whatever_lies_there_the_file_that_arrives_is_the_one_that_was_sent(
    source: bytes, there: bytes, cut: list[int]
) -> None:
    receiver = Receiver(there[: len(source)])
    sending = begin(source, receiver.connect(len(source), cut), cut)
    offset = sending.begin()
    assert offset in (0, len(receiver.disk))
    receiver.begin(offset)
    for piece in pieces(source[offset:], cut):
        sending.sent(piece)
        receiver.take(piece)
    receiver.machine.end(sending.end())
    assert receiver.disk == source


@bounded(200)
@given(st.binary(min_size=1, max_size=100), st.data())
def test_a_single_wrong_bit_is_found(source: bytes, data: st.DataObject) -> None:
    sending = SendingFile(len(source))
    sending.begin()
    sending.sent(source)
    at = data.draw(st.integers(0, len(source) - 1))
    wrong = bytearray(source)
    wrong[at] ^= 1 << data.draw(st.integers(0, 7))
    receiver = ReceivingFile(len(source))
    receiver.begin(0)
    receiver.take(bytes(wrong))
    with pytest.raises(BadRequest, match="SHA-256 digests differ"):
        receiver.end(sending.end())


def test_less_than_what_was_announced_is_no_file() -> None:
    receiver = ReceivingFile(3)
    receiver.begin(0)
    receiver.take(b"ab")
    with pytest.raises(BadRequest, match="only 2 of 3 bytes"):
        receiver.end(FileEnds(bytes(32)))


def test_more_than_what_was_announced_is_refused_as_it_comes() -> None:
    receiver = ReceivingFile(3)
    receiver.begin(0)
    with pytest.raises(BadRequest, match="more bytes came than the 3"):
        receiver.take(b"abcd")


@pytest.mark.parametrize("offset", [1, 3, 4, 2**63 - 1])
def test_a_sender_that_goes_on_elsewhere_breaks_the_protocol(offset: int) -> None:
    receiver = ReceivingFile(10)
    receiver.hash_prefix(b"ab")
    with pytest.raises(ProtocolViolation):
        receiver.begin(offset)


def test_a_file_begins_once() -> None:
    receiver = ReceivingFile(10)
    receiver.begin(0)
    with pytest.raises(ProtocolViolation):
        receiver.begin(0)


def test_a_receiver_that_claims_more_than_there_is_gets_all_of_it() -> None:
    sending = SendingFile(3, FileHave(4, bytes(32)))
    assert sending.prefix_left == 0
    assert sending.begin() == 0
    assert sending.left == 3


def test_nothing_is_said_out_of_order() -> None:
    sending = SendingFile(3, FileHave(2, bytes(32)))
    with pytest.raises(LoopsyError):
        sending.sent(b"a")
    with pytest.raises(LoopsyError):
        sending.begin()
    with pytest.raises(LoopsyError):
        sending.hash_prefix(b"abc")
    sending.hash_prefix(b"ab")
    sending.begin()
    with pytest.raises(LoopsyError):
        sending.end()
    with pytest.raises(LoopsyError):
        sending.sent(b"abcd")
    receiver = ReceivingFile(3)
    with pytest.raises(LoopsyError):
        receiver.take(b"a")
    with pytest.raises(LoopsyError):
        receiver.hash_prefix(b"abcd")


@bounded(300)
@given(values(SenderItem))
def test_what_a_sender_says_survives_the_way(item: SenderItem) -> None:
    assert decode_sender_item(encode(item)) == item


@bounded(100)
@given(values(ReceiverItem))
def test_what_a_receiver_says_survives_the_way(item: ReceiverItem) -> None:
    assert decode_receiver_item(encode(item)) == item


@bounded(200)
@given(documents)
def test_anything_else_is_a_bad_request(document: object) -> None:
    for decode_item in (decode_sender_item, decode_receiver_item):
        with pytest.raises(BadRequest):
            decode_item(encode({"type": document}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": -1},
        {"size": 2**63},
        {"mode": 0o10000},
        {"mtime": 2**63},
        {"path": "text"},
        {"path": bytes(4097)},
        {"ask": 1},
    ],
)
def test_what_is_out_of_bounds_is_named(wrong: dict[str, object]) -> None:
    item = {"type": "file", "path": b"a", "size": 1, "mode": 0o644, "mtime": 0, "ask": False}
    assert isinstance(decode_sender_item(encode(item)), FileBegins)
    with pytest.raises(BadRequest, match=f"`{next(iter(wrong))}`"):
        decode_sender_item(encode(item | wrong))
