"""Envelopes survive the way there, and nothing else is taken for one."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.errors import ProtocolViolation
from loopsy_core.wire.envelope import (
    ENVELOPE_OVERHEAD,
    LONGEST_WHY,
    Bytes,
    Close,
    Envelope,
    Joined,
    Left,
    decode_envelope,
    encode_envelope,
)

conns = st.integers(0, 2**32 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=LONGEST_WHY)
envelopes = st.one_of(
    st.builds(Joined, conns, texts, texts),
    st.builds(Bytes, conns, st.binary()),
    st.builds(Left, conns, texts),
    st.builds(Close, conns, texts),
)
documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.binary()
    | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)


@given(envelopes)
def test_an_envelope_survives_the_way(envelope: Envelope) -> None:
    assert decode_envelope(encode_envelope(envelope)) == envelope


@given(envelopes, documents)
def test_what_a_newer_version_adds_is_ignored(envelope: Envelope, extra: object) -> None:
    longer = [*msgspec.msgpack.decode(encode_envelope(envelope)), extra]
    assert decode_envelope(msgspec.msgpack.encode(longer)) == envelope


def test_the_bytes_are_those_of_the_protocol() -> None:
    assert encode_envelope(Joined(1, "p", "::1")) == bytes([0x94, 1, 1, 0xA1]) + b"p\xa3::1"
    assert encode_envelope(Bytes(300, b"xy")) == bytes([0x93, 2, 0xCD, 1, 44, 0xC4, 2]) + b"xy"
    assert encode_envelope(Left(0, "")) == bytes([0x93, 3, 0, 0xA0])
    assert encode_envelope(Close(7, "bye")) == bytes([0x93, 4, 7, 0xA3]) + b"bye"


def test_the_overhead_is_the_most_that_bytes_adds() -> None:
    sealed = bytes(2**20)
    assert len(encode_envelope(Bytes(2**32 - 1, sealed))) == len(sealed) + ENVELOPE_OVERHEAD


@given(st.binary())
def test_garbage_is_refused_with_our_error_only(garbage: bytes) -> None:
    try:
        envelope = decode_envelope(garbage)
    except ProtocolViolation:
        return
    assert isinstance(envelope, Envelope)


@given(documents)
def test_any_document_is_an_envelope_or_refused(document: object) -> None:
    try:
        envelope = decode_envelope(msgspec.msgpack.encode(document))
    except ProtocolViolation:
        return
    assert isinstance(envelope, Envelope)


@pytest.mark.parametrize(
    "document",
    [
        [],
        [2],
        [2, 1],
        [0, 1, b""],
        [5, 1, b""],
        ["2", 1, b""],
        [2, -1, b""],
        [2, 2**32, b""],
        [2, 1.0, b""],
        [2, True, b""],
        [2, 1, "text"],
        [2, 1, None],
        [3, 1, b"bytes"],
        [4, 1, "x" * (LONGEST_WHY + 1)],
        [1, 1, "x" * (LONGEST_WHY + 1), ""],
        {"conn": 1},
        "text",
        None,
    ],
    ids=repr,
)
def test_a_document_of_the_wrong_shape_is_refused(document: object) -> None:
    with pytest.raises(ProtocolViolation):
        decode_envelope(msgspec.msgpack.encode(document))


@given(envelopes, st.integers(1, 20))
def test_half_an_envelope_is_refused(envelope: Envelope, missing: int) -> None:
    with pytest.raises(ProtocolViolation):
        decode_envelope(encode_envelope(envelope)[:-missing])


def test_bytes_behind_an_envelope_are_refused() -> None:
    with pytest.raises(ProtocolViolation):
        decode_envelope(encode_envelope(Left(1, "")) + b"\x00")


def test_text_that_is_no_utf_8_is_refused() -> None:
    with pytest.raises(ProtocolViolation):
        decode_envelope(bytes([0x93, 4, 7, 0xA2, 0xFF, 0xFE]))


def test_depth_does_not_exhaust_the_stack() -> None:
    deep = bytes([0x94, 3, 1, 0xA0]) + b"\x91" * 500_000 + b"\x00"
    with pytest.raises(ProtocolViolation):
        decode_envelope(deep)


def test_an_error_does_not_repeat_what_was_sent() -> None:
    with pytest.raises(ProtocolViolation) as caught:
        decode_envelope(msgspec.msgpack.encode([4, 1, "secret" * 50]))
    assert "secret" not in caught.value.message
