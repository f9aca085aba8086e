"""The messages of calls, the events and the items of a shown session: there and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.errors import BadRequest, ProtocolViolation
from loopsy_core.wire import (
    Answer,
    Ask,
    AttachedItem,
    Data,
    Drop,
    Event,
    Fault,
    Item,
    Message,
    Resize,
    decode,
    decode_attached,
    decode_event,
    encode,
)
from loopsy_core.wire.messages import decode_message, encode_data
from tests.core.wire.values import documents, values
from tests.play import NOTHING, bounded
from tests.vectors.write import fill

if TYPE_CHECKING:
    from collections.abc import Callable


@bounded(300)
@given(values(Message))
def test_a_message_survives_the_way(message: Message) -> None:
    assert decode_message(encode(message)) == message


@pytest.mark.parametrize("size", [0, 1, 255, 256, 65_535, 65_536, 260_000])
@pytest.mark.parametrize("call_id", [1, 127, 128, 65_536, 2**31 - 1])
def test_data_is_encoded_alike_however_much_it_is(call_id: int, size: int) -> None:
    data = fill(size)
    assert encode_data(call_id, data) == encode(Data(call_id, data))
    assert encode_data(call_id, memoryview(data)) == encode(Data(call_id, data))


@bounded(300)
@given(values(Message))
def test_a_message_does_not_change_with_the_buffer_that_it_was_read_from(message: Message) -> None:
    buffer = bytearray(encode(message))
    read = decode_message(memoryview(buffer))
    buffer[:] = bytes(len(buffer))
    assert encode(read) == encode(message)


@bounded(100)
@given(values(Message), documents)
def test_elements_that_a_newer_version_adds_are_ignored(message: Message, extra: object) -> None:
    if isinstance(message, Ask) and message.to is None:
        message = msgspec.structs.replace(message, to="somebody")
    longer = [*msgspec.msgpack.decode(encode(message)), extra]
    assert decode_message(encode(longer)) == message


def test_what_may_be_left_out_of_a_message_takes_its_default() -> None:
    assert decode_message(encode([1, 1, "op", {}])) == Ask(1, "op", NOTHING, None)
    assert decode_message(encode([3, 1, "gone", "bye"])) == Fault(1, "gone", "bye", NOTHING)


@bounded(300)
@given(st.binary(max_size=80))
def test_garbage_is_refused_with_our_error_only(garbage: bytes) -> None:
    try:
        message = decode_message(garbage)
    except ProtocolViolation:
        return
    assert isinstance(message, get_args(Message))


@bounded(300)
@given(st.lists(st.integers(-1, 12) | documents, max_size=6) | documents)
def test_any_document_is_a_message_or_refused(document: object) -> None:
    try:
        message = decode_message(encode(document))
    except ProtocolViolation:
        return
    assert isinstance(message, get_args(Message))


@pytest.mark.parametrize(
    "document",
    [
        [2**63, 1],
        [-1, 1],
        [0, 1],
        [11, 1],
        [True, 1],
        ["4", 1, b"x"],
        [4.0, 1, b"x"],
        [4, 2**31, b"x"],
        [4, -1, b"x"],
        [4, 1.0, b"x"],
        [4, 1, None],
        [6, 1, 2**63],
        [1, 1, "x" * 65, {}],
        [1, 1, "op"],
        [1, 1, "op", {}, "x" * 65],
        [3, 1, "x" * 65, "message"],
        None,
        {},
    ],
)
def test_a_message_out_of_bounds_is_refused(document: object) -> None:
    with pytest.raises(ProtocolViolation):
        decode_message(encode(document))


def test_params_nested_without_end_are_refused() -> None:
    with pytest.raises(ProtocolViolation):
        decode_message(b"\x94\x01\x01\xa1x" + b"\x91" * 500_000 + b"\xc0")


def test_a_refusal_never_repeats_what_a_stranger_said() -> None:
    for document in ([1, 1, {"evil": 1}, {}], ["evil", 1], [3, 1, "gone", {"evil": 1}]):
        with pytest.raises(ProtocolViolation) as caught:
            decode_message(encode(document))
        assert "evil" not in str(caught.value)


def test_values_in_a_message_are_kept_as_they_came() -> None:
    params = b"\x81\xa1a\xcd\x00\x01"  # {"a": 1}, not in its shortest form
    ask = decode_message(b"\x94\x01\x01\xa1x" + params)
    assert isinstance(ask, Ask)
    assert bytes(ask.params) == params
    assert decode_message(encode(Answer(1, ask.params))) == Answer(1, ask.params)


def test_an_empty_piece_is_a_piece() -> None:
    assert decode_message(encode(Data(1, b""))) == Data(1, b"")
    assert decode_message(encode(Item(1, b""))) == Item(1, b"")
    assert decode_message(encode(Drop(2**31 - 1))) == Drop(2**31 - 1)


@bounded(100)
@given(values(Event))
def test_an_event_survives_the_way(event: Event) -> None:
    assert decode_event(encode(event)) == event


@bounded(100)
@given(values(AttachedItem))
def test_what_a_host_tells_its_viewer_survives_the_way(item: AttachedItem) -> None:
    assert decode_attached(encode(item)) == item


@bounded(30)
@given(values(Resize))
def test_what_a_viewer_wishes_survives_the_way(wish: Resize) -> None:
    assert decode(encode(wish), Resize) == wish


@pytest.mark.parametrize("read", [decode_event, decode_attached])
@pytest.mark.parametrize(
    "document",
    [
        {},
        {"type": 1},
        {"type": "resized", "cols": 0, "rows": 1},
        {"type": "typed", "total": -1},
        {"type": "picture"},
        [],
        None,
    ],
)
def test_what_is_no_item_is_a_bad_request(
    read: Callable[[bytes], object], document: object
) -> None:
    with pytest.raises(BadRequest):
        read(encode(document))


@pytest.mark.parametrize("document", [{"type": "unheard_of"}, {"type": "unheard_of", "cols": -1}])
def test_an_item_that_only_a_newer_host_knows_is_passed_over(document: object) -> None:
    assert decode_attached(encode(document)) is None


@pytest.mark.parametrize(
    "document", [{"type": "unheard_of"}, {"type": "wrong_code", "tries_left": "two"}]
)
def test_what_is_no_event_is_a_bad_request(document: object) -> None:
    with pytest.raises(BadRequest):
        decode_event(encode(document))
