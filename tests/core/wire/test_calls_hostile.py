"""Calls with a peer that keeps to no rule: it is refused, and its greed is bounded."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.errors import ProtocolViolation
from loopsy_core.wire import (
    CHUNK,
    WIDE,
    WINDOW,
    Answer,
    Ask,
    Calls,
    Credit,
    Data,
    Drop,
    End,
    Fault,
    Item,
    Message,
    Ping,
    Pong,
    Raw,
    cost,
    encode,
)
from loopsy_core.wire.calls import MAX_CONTROL, MAX_OPEN
from tests.core.wire.values import values
from tests.play import NOTHING, Line, Play, bounded

FULL = bytes(WINDOW - cost(b""))


def asker() -> Play:
    """Return the side that opened the connection; its call 1 is asked, its call 3 answered."""
    play = Play(Calls(opener=True))
    play.calls.ask("a", b"\x80")
    play.calls.ask("b", b"\x80")
    play.said()
    play.hears(Answer(3, NOTHING))
    return play


def asked() -> Play:
    """Return the side that was called; call 1 is asked of it, and it has answered call 3."""
    play = Play(Calls(opener=False))
    play.hears(Ask(1, "a", NOTHING), Ask(3, "b", NOTHING))
    play.calls.answer(3, b"\xc0")
    play.said()
    return play


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (Data(5, b""), "never opened"),
        (Item(5, b"\xc0"), "never opened"),
        (Credit(5, 1), "never opened"),
        (Answer(5, NOTHING), "never opened"),
        (Fault(5, "gone", "x"), "never opened"),
        (End(5), "never opened"),
        (Drop(5), "never opened"),
        (Data(2, b""), "never opened"),
        (Drop(2**31 - 1), "never opened"),
        (Ask(1, "a", NOTHING), "not the other side's to open"),
        (Ask(3, "a", NOTHING), "not the other side's to open"),
        (Ask(5, "a", NOTHING), "not the other side's to open"),
        (End(1), "only the asker"),
        (Drop(1), "only the asker"),
        (Data(1, FULL + b"x"), "credit"),
        (Item(1, FULL + b"x"), "credit"),
        (Credit(1, WINDOW + 1), "credit"),
        (Credit(1, 2**63 - 1), "credit"),
        (b"", "no message"),
        (b"\xc1", "no message"),
        (b"GET / HTTP/1.1\r\n\r\n", "no message"),
        (encode([4, 0, b""]), "no message"),
        (encode([4, 2**31, b""]), "no message"),
        (encode([11, 1]), "no message"),
        (encode([9]), "no message"),
        (encode([9, -1]), "no message"),
        (encode([9, 2**63]), "no message"),
    ],
)
def test_an_asker_refuses(line: Line, why: str) -> None:
    asker().refuses(line, why)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (Ask(1, "a", NOTHING), "not the other side's to open"),
        (Ask(3, "a", NOTHING), "not the other side's to open"),
        (Ask(2, "a", NOTHING), "not the other side's to open"),
        (Ask(2**31 - 2, "a", NOTHING), "not the other side's to open"),
        (Answer(1, NOTHING), "the other side asked"),
        (Fault(1, "gone", "x"), "the other side asked"),
        (Answer(2, NOTHING), "never opened"),
        (Data(5, b""), "never opened"),
        (Data(1, FULL + b"x"), "credit"),
        (Item(1, FULL + b"x"), "credit"),
        (Credit(1, WINDOW + 1), "credit"),
    ],
)
def test_an_answerer_refuses(line: Line, why: str) -> None:
    asked().refuses(line, why)


@pytest.mark.parametrize("line", [Data(1, b""), Item(1, b"\xc0"), End(1)])
def test_an_asker_that_ended_its_stream_goes_not_on(line: Message) -> None:
    play = asked()
    play.hears(End(1))
    play.refuses(line, "end")


def test_ids_go_up_and_may_be_left_out() -> None:
    play = asked()
    play.hears(Ask(9, "a", NOTHING))
    play.refuses(Ask(7, "a", NOTHING), "not the other side's to open")
    assert play.hears(Data(5, b"")) == [None]  # counts as used, and over


def test_the_last_id_is_one() -> None:
    play = asked()
    last = Ask(2**31 - 1, "a", NOTHING)
    assert play.hears(last) == [last]


# Credit.


def test_credit_is_counted_over_all_pieces_and_their_heads() -> None:
    play = asked()
    for _ in range(WINDOW // cost(b"")):
        play.hears(Data(1, b""))
    play.refuses(Item(1, b""), "credit")


def test_a_sender_may_spend_what_it_was_given_to_the_last_byte() -> None:
    play = asked()
    play.hears(Data(1, FULL))
    play.calls.consumed(1, WINDOW)
    play.says(Credit(1, 2 * WINDOW))
    play.hears(Data(1, FULL))
    play.refuses(Data(1, b""), "credit")


def test_nobody_is_lured_into_queueing_more_than_a_window() -> None:
    play = asker()
    play.calls.send_data(1, FULL)
    # Not a byte of it has been written, so not a byte of it can have been consumed.
    play.refuses(Credit(1, WINDOW + 1), "credit")


def test_credit_may_be_given_for_what_was_written_and_no_more() -> None:
    play = asker()
    piece = bytes(CHUNK)
    for _ in range(4):
        play.calls.send_data(1, piece)
    play.calls.take(1)
    assert play.hears(Credit(1, WINDOW + cost(piece))) == [Credit(1, WINDOW + cost(piece))]
    play.refuses(Credit(1, WINDOW + cost(piece) + 1), "credit")
    play.calls.take(1)
    play.hears(Credit(1, WINDOW + 2 * cost(piece)))


def test_credit_for_a_call_not_yet_written_is_refused() -> None:
    play = Play(Calls(opener=True))
    play.calls.ask("a", b"\x80")
    play.refuses(Credit(1, 2 * WINDOW), "credit")


def test_credit_for_files_may_go_further_and_not_without_end() -> None:
    for total, taken in ((WIDE, True), (WIDE + 1, False)):
        play = Play(Calls(opener=True))
        play.calls.ask("files.pull", b"\x80")
        play.said()
        if taken:
            assert play.hears(Credit(1, total)) == [Credit(1, total)]
        else:
            play.refuses(Credit(1, total), "credit")


# Greed.


def test_a_peer_that_asks_without_reading_is_cut_off() -> None:
    play = Play(Calls(opener=False))
    taken = MAX_OPEN + MAX_CONTROL
    play.hears(*(Ask(2 * number + 1, "flood", NOTHING) for number in range(taken)))
    play.refuses(Ask(2 * taken + 1, "flood", NOTHING), "thousand")


def test_a_peer_that_asks_too_much_but_reads_is_only_told_so() -> None:
    play = Play(Calls(opener=False))
    for number in range(1, 20_000, 2):
        play.hears(Ask(number, "flood", NOTHING))
        play.said()


@pytest.mark.parametrize(
    "flood",
    [
        [Ping(1)],
        [Pong(1)],
        [Credit(1, WINDOW)],
        [Data(3, bytes(1000))],
        [Credit(3, 2**40)],
        [Answer(4, NOTHING)],
    ],
    ids=["pings", "pongs", "old credit", "late data", "late credit", "late answers"],
)
def test_a_flood_that_nobody_reads_leaves_nothing_behind(flood: list[Message]) -> None:
    play = asked()
    play.calls.ask("ours", b"\x80")
    play.calls.ask("ours too", b"\x80")
    play.said()
    play.hears(Answer(4, NOTHING))
    encoded = [encode(line) for line in flood]
    tracemalloc.start()
    try:
        for _ in range(20_000):
            for line in encoded:
                play.calls.receive(line)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000
    assert len(play.calls.take()) <= 1


def test_asking_and_dropping_without_end_leaves_nothing_behind() -> None:
    play = Play(Calls(opener=False))
    tracemalloc.start()
    try:
        for number in range(1, 20_000, 2):
            play.hears(Ask(number, "flood", NOTHING), Data(number, bytes(1000)), Drop(number))
        now, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert now < 100_000
    play.says()


# Anything at all.


def in_the_middle_of_things() -> Play:
    play = Play(Calls(opener=False))
    play.hears(*(Ask(number, "a", NOTHING) for number in (1, 3, 5)))
    for _ in range(3):
        play.calls.ask("b", b"\x80")
    play.calls.answer(3, b"\xc0")
    play.said()
    return play


near_ids = st.integers(1, 12)
lines = (
    st.binary(max_size=20)
    | values(Message).map(encode)
    | st.one_of(
        st.builds(Ask, near_ids, st.just("a"), st.just(NOTHING)),
        st.builds(Answer, near_ids, st.just(Raw(b"\xc0"))),
        st.builds(Fault, near_ids, st.just("gone"), st.just("x")),
        st.builds(Data, near_ids, st.sampled_from([b"", bytes(100), bytes(CHUNK), FULL])),
        st.builds(Item, near_ids, st.just(b"\xc0")),
        st.builds(Credit, near_ids, st.sampled_from([0, WINDOW, WINDOW + 1, 2**40])),
        st.builds(End, near_ids),
        st.builds(Drop, near_ids),
    ).map(encode)
)


@bounded(300)
@given(st.lists(lines, max_size=30))
def test_whatever_comes_is_taken_in_or_breaks_the_protocol(said: list[bytes]) -> None:
    play = in_the_middle_of_things()
    for line in said:
        try:
            play.calls.receive(line)
        except ProtocolViolation:
            break
        for call in range(1, 13):
            if (room := play.calls.allowance(call)) > 0:
                play.calls.send_data(call, bytes(min(CHUNK, room)))
            play.calls.consumed(call, 1000)
    # What was still to be said can be said, and then there is nothing.
    play.said()
