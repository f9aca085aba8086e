"""Sealed connections under attack: on the way, and by a peer with the right keys."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.errors import ProtocolViolation
from loopsy_core.wire import MAX_MESSAGE, Cipher, SealedConnection
from loopsy_core.wire.noise import TAG
from loopsy_core.wire.sealed import MAX_CONTENT, MAX_RECORD
from tests.core.wire.keys import flips, key
from tests.play import bounded
from tests.vectors.write import fill

if TYPE_CHECKING:
    from collections.abc import Sequence


def ends(name: str = "") -> tuple[SealedConnection, SealedConnection]:
    ciphers = [Cipher(key(way + name)) for way in ("there", "back", "back", "there")]
    return SealedConnection(*ciphers[:2]), SealedConnection(*ciphers[2:])


def opens_nothing_any_more(end: SealedConnection, records: Sequence[bytes]) -> None:
    """Check that `end` is dead: not even what the other side did seal opens, nor is more said."""
    for record in records:
        with pytest.raises(ProtocolViolation):
            end.open(record)
    with pytest.raises(ProtocolViolation):
        end.seal(b"dead in both directions")


# In the middle of the way.

TAMPERINGS = {
    "drop": lambda records, at, _: records[:at] + records[at + 1 :] + [b"one more"],
    "repeat": lambda records, at, _: records[: at + 1] + records[at:],
    "swap": lambda records, at, _: (
        [*records[:at], records[at + 1], records[at], *records[at + 2 :]]
    ),
    "cut": lambda records, at, by: [*records[:at], records[at][:-by], *records[at + 1 :]],
    "cut the front": lambda records, at, by: [*records[:at], records[at][by:], *records[at + 1 :]],
    "extend": lambda records, at, by: [*records[:at], records[at] + bytes(by), *records[at + 1 :]],
    "empty": lambda records, at, _: [*records[:at], b"", *records[at + 1 :]],
    "insert": lambda records, at, by: [*records[:at], bytes(TAG + by), *records[at:]],
    "join": lambda records, at, _: (
        [*records[:at], records[at] + records[at + 1], *records[at + 2 :]]
    ),
    "again from the start": lambda records, at, _: records[: at + 1] + records,
}


@pytest.mark.parametrize("how", TAMPERINGS)
@bounded(25)
@given(
    st.lists(st.integers(1, 1500) | st.just(MAX_CONTENT + 1), min_size=2, max_size=5),
    st.data(),
)
def test_what_was_changed_on_the_way_opens_nothing_from_there_on(
    how: str, sizes: list[int], data: st.DataObject
) -> None:
    one, other = ends()
    records = [record for size in sizes for record in one.seal(fill(size))]
    at = data.draw(st.integers(0, len(records) - 2))
    by = data.draw(st.integers(1, 64))
    changed = TAMPERINGS[how](records, at, by)
    same = next(n for n, record in enumerate(changed) if [record] != records[n : n + 1])
    for record in changed[:same]:
        other.open(record)
    opens_nothing_any_more(other, [changed[same], *records[same:]])


def test_no_flipped_bit_goes_unnoticed() -> None:
    record = ends()[0].seal(b"ls -l\r")[0]
    for changed in flips(record):
        _, other = ends()
        opens_nothing_any_more(other, [changed, record])


@bounded(20)
@given(st.data())
def test_no_flipped_bit_of_a_long_message_goes_unnoticed(data: st.DataObject) -> None:
    one, other = ends()
    records = one.seal(fill(2 * MAX_CONTENT + 5))
    number = data.draw(st.integers(0, len(records) - 1))
    changed = bytearray(records[number])
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    for record in records[:number]:
        assert other.open(record) is None
    opens_nothing_any_more(other, [bytes(changed), *records[number:]])


def test_what_we_said_ourselves_is_not_heard() -> None:
    one, other = ends()
    one.open(other.seal(b"so that both have counted alike")[0])
    reflected = one.seal(b"an echo")[0]
    opens_nothing_any_more(one, [reflected])


def test_what_belongs_to_another_connection_is_not_heard() -> None:
    one, other = ends()
    stranger, _ = ends("another connection")
    other.open(one.seal(b"first")[0])
    stranger.seal(b"first")
    opens_nothing_any_more(other, stranger.seal(b"second"))


def test_a_fragment_cannot_be_left_out_of_its_message() -> None:
    one, other = ends()
    first, _, *rest = one.seal(fill(3 * MAX_CONTENT))
    assert other.open(first) is None
    opens_nothing_any_more(other, rest)


# A peer with the right keys that does not keep to the rules.


class Cheat:
    """The other end of a connection, sealing whatever it likes."""

    def __init__(self) -> None:
        self._cipher = Cipher(key("there"))
        self.victim = ends()[1]

    def says(self, record: bytes) -> bytes | None:
        return self.victim.open(self._cipher.encrypt(record))

    def is_refused(self, record: bytes) -> None:
        with pytest.raises(ProtocolViolation):
            self.says(record)
        opens_nothing_any_more(self.victim, [self._cipher.encrypt(b"\0fine")])


def test_flags_that_mean_nothing_are_refused() -> None:
    for flags in set(range(256)) - {0, 1, 2}:
        Cheat().is_refused(bytes([flags]) + b"\0\1x" + bytes(60))


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"\0",
        b"\1",
        b"\2",
        b"\2\0",
        b"\2\0\0" + bytes(61),
        b"\2\0\2x",
        b"\2\xff\xff" + bytes(61),
        b"\2\0\1xy" + bytes(60),
        b"\2\0\1x" + bytes(59) + b"\1",
        b"\2\0\1x" + b"\xff" * 60,
        b"\3\0\1x" + bytes(60),
    ],
    ids=lambda record: record.hex()[:8],
)
def test_a_record_of_the_wrong_form_is_refused(record: bytes) -> None:
    Cheat().is_refused(record)


def test_a_fragment_without_content_is_refused_in_the_middle_as_well() -> None:
    cheat = Cheat()
    assert cheat.says(b"\1begun") is None
    cheat.is_refused(b"\1")


def test_a_record_longer_than_noise_allows_is_refused() -> None:
    assert Cheat().says(b"\0" + bytes(MAX_RECORD - 1)) == bytes(MAX_RECORD - 1)
    Cheat().is_refused(b"\0" + bytes(MAX_RECORD))
    Cheat().is_refused(b"\0" + bytes(MAX_MESSAGE + 1))


def test_fragments_may_be_of_any_size_and_the_last_of_any_form() -> None:
    cheat = Cheat()
    assert cheat.says(b"\1" + b"a") is None
    assert cheat.says(b"\1" + bytes(2000)) is None
    assert cheat.says(b"\2\0\1z" + bytes(60)) == b"a" + bytes(2000) + b"z"
    assert cheat.says(b"\1" + b"b") is None
    assert cheat.says(b"\0" + b"c") == b"bc"
    assert cheat.says(b"\0" + b"d") == b"d"


@pytest.mark.parametrize("last", [b"\1", b"\0"])
def test_fragments_beyond_a_mebibyte_are_refused(last: bytes) -> None:
    cheat = Cheat()
    most = MAX_RECORD - 1
    for _ in range(MAX_MESSAGE // most):
        assert cheat.says(b"\1" + bytes(most)) is None
    left = MAX_MESSAGE % most
    assert cheat.says(b"\1" + bytes(left - 1)) is None
    cheat.is_refused(last + b"xy")


def test_exactly_a_mebibyte_in_fragments_is_taken() -> None:
    cheat = Cheat()
    for _ in range(MAX_MESSAGE // 2**15 - 1):
        assert cheat.says(b"\1" + bytes(2**15)) is None
    message = cheat.says(b"\0" + bytes(2**15))
    assert message == bytes(MAX_MESSAGE)
    assert cheat.says(b"\0and on") == b"and on"


def test_a_message_in_a_million_crumbs_takes_no_more_memory_than_it_has_bytes() -> None:
    cheat = Cheat()
    crumbs = 20_000
    tracemalloc.start()
    try:
        for _ in range(crumbs):
            cheat.says(b"\1ab")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2 * crumbs
