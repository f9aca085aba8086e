"""Sealed connections: everything arrives, lengths tell little, and keys are replaced in step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.wire import MAX_MESSAGE, Cipher, SealedConnection, Unreadable
from loopsy_core.wire.noise import TAG
from loopsy_core.wire.sealed import MAX_CONTENT, PAD_STEP, PADDED_UP_TO, REKEY_EVERY
from tests.core.wire.keys import key
from tests.play import bounded
from tests.vectors.write import fill

LONGEST_PADDED = PADDED_UP_TO - 3  # behind flags and length

# Small ones, and both sides of every border there is.
sizes = st.integers(1, 3000) | st.sampled_from(
    [
        size + more
        for size in (61, LONGEST_PADDED, MAX_CONTENT, 2 * MAX_CONTENT, 3 * MAX_CONTENT)
        for more in (-1, 0, 1)
    ]
)


def two_ends(first_nonce: int = 0) -> tuple[SealedConnection, SealedConnection]:
    """Return both ends of a connection, on which `first_nonce` messages have gone each way."""
    ciphers = [Cipher(key(direction)) for direction in ("there", "back", "back", "there")]
    for cipher in ciphers:
        cipher.nonce = first_nonce
    return SealedConnection(*ciphers[:2]), SealedConnection(*ciphers[2:])


def opened(end: SealedConnection, records: list[bytes]) -> list[bytes]:
    return [message for record in records if (message := end.open(record)) is not None]


@bounded(60)
@given(st.lists(st.tuples(st.booleans(), sizes), max_size=8))
def test_any_sequence_of_messages_arrives_both_ways(said: list[tuple[bool, int]]) -> None:
    ends = two_ends()
    for who, size in said:
        assert opened(ends[not who], ends[who].seal(fill(size))) == [fill(size)]


@bounded(30)
@given(st.lists(st.tuples(st.booleans(), sizes), max_size=6), st.randoms())
def test_both_directions_may_be_under_way_at_once(
    said: list[tuple[bool, int]], random: st.random.Random
) -> None:
    ends = two_ends()
    sent: dict[bool, list[bytes]] = {True: [], False: []}
    way: dict[bool, list[bytes]] = {True: [], False: []}
    heard: dict[bool, list[bytes]] = {True: [], False: []}
    for who, size in said:
        sent[who].append(fill(size))
        way[who] += ends[who].seal(fill(size))
        direction = random.choice([True, False])
        heard[direction] += opened(
            ends[not direction], [way[direction].pop(0)] if way[direction] else []
        )
    for direction in (True, False):
        heard[direction] += opened(ends[not direction], way[direction])
    assert heard == sent


@pytest.mark.parametrize(
    ("size", "records"),
    [
        (1, [64]),
        (61, [64]),
        (62, [128]),
        (LONGEST_PADDED - 1, [1024]),
        (LONGEST_PADDED, [1024]),
        (LONGEST_PADDED + 1, [LONGEST_PADDED + 2]),
        (MAX_CONTENT, [65_519]),
        (MAX_CONTENT + 1, [65_519, 64]),
        (MAX_CONTENT + LONGEST_PADDED, [65_519, 1024]),
        (MAX_CONTENT + LONGEST_PADDED + 1, [65_519, LONGEST_PADDED + 2]),
        (2 * MAX_CONTENT, [65_519, 65_519]),
        (MAX_MESSAGE, [*[65_519] * 16, 320]),
    ],
)
def test_a_message_takes_these_records(size: int, records: list[int]) -> None:
    one, other = two_ends()
    sealed = one.seal(fill(size))
    assert [len(each) - TAG for each in sealed] == records
    assert opened(other, sealed) == [fill(size)]


def test_the_borders_are_those_of_the_protocol() -> None:
    assert LONGEST_PADDED == 1021
    assert MAX_CONTENT == 65_518
    assert MAX_MESSAGE == 1_048_576


def test_small_messages_tell_their_length_in_steps_of_64_bytes_only() -> None:
    one, _ = two_ends()
    seen = {len(one.seal(bytes(size))[0]) - TAG for size in range(1, LONGEST_PADDED + 1)}
    assert seen == set(range(PAD_STEP, PADDED_UP_TO + 1, PAD_STEP))


def test_every_key_stroke_looks_alike() -> None:
    one, _ = two_ends()
    strokes = [one.seal(stroke)[0] for stroke in (b"a", b"\r", b"\x1b[A", "é".encode(), b"a")]
    assert {len(stroke) for stroke in strokes} == {PAD_STEP + TAG}
    assert len(set(strokes)) == len(strokes)


@pytest.mark.parametrize("size", [0, MAX_MESSAGE + 1])
def test_what_the_other_side_would_refuse_is_not_sealed(size: int) -> None:
    one, other = two_ends()
    with pytest.raises(ValueError, match="1 to"):
        one.seal(bytes(size))
    assert opened(other, one.seal(b"and nothing was spent on it")) == [
        b"and nothing was spent on it"
    ]


@pytest.mark.parametrize("who", [0, 1])
def test_keys_are_replaced_after_65536_messages_on_both_sides_in_step(who: int) -> None:
    ends = two_ends(REKEY_EVERY - 3)
    for number in range(6):
        said = b"%d" % number
        assert opened(ends[1 - who], ends[who].seal(said)) == [said]


def test_a_change_of_key_between_two_fragments_goes_unnoticed() -> None:
    one, other = two_ends(REKEY_EVERY - 2)
    message = fill(5 * MAX_CONTENT)
    assert opened(other, one.seal(message)) == [message]


def test_the_directions_change_their_keys_each_in_its_own_time() -> None:
    one, other = two_ends(REKEY_EVERY - 1)
    for number in range(3):
        assert opened(other, one.seal(b"%d" % number)) == [b"%d" % number]
    assert opened(one, other.seal(b"not yet replaced")) == [b"not yet replaced"]


def test_whoever_has_the_old_key_reads_nothing_after_its_replacement() -> None:
    one, other = two_ends(REKEY_EVERY - 1)
    stolen = Cipher(key("there"))
    stolen.nonce = REKEY_EVERY - 1
    [before] = one.seal(b"before")
    stolen.decrypt(before)
    [after] = one.seal(b"after")
    with pytest.raises(Unreadable):
        stolen.decrypt(after)
    assert opened(other, [before, after]) == [b"before", b"after"]


def test_the_key_is_replaced_again_and_again() -> None:
    one, other = two_ends()
    for _ in range(2 * REKEY_EVERY):
        assert other.open(one.seal(b"x")[0]) == b"x"
    expected = Cipher(key("there"))
    expected.nonce = 2 * REKEY_EVERY
    expected.rekey()
    expected.rekey()
    [record] = one.seal(b"after two changes")
    assert expected.decrypt(record)[3:].rstrip(b"\0") == b"after two changes"
