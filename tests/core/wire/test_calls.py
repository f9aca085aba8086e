"""Calls as plays: what a machine says to what it hears, and what is taken back or too much."""

from __future__ import annotations

import pytest

from loopsy_core.errors import BadRequest, Busy, LoopsyError
from loopsy_core.wire import (
    MAX_MESSAGE,
    Answer,
    Ask,
    Calls,
    Credit,
    Data,
    Drop,
    End,
    Fault,
    Item,
    Ping,
    Pong,
    Raw,
    encode,
)
from loopsy_core.wire.calls import MAX_OPEN
from tests.play import HELLO, NOTHING, Play, asked, asker


def test_a_call_is_asked_and_answered() -> None:
    play, _ = asker()
    assert play.hears(Answer(1, Raw(HELLO))) == [Answer(1, Raw(HELLO))]
    play.says()


def test_an_answer_ends_a_call() -> None:
    play = asked()
    play.calls.answer(1, HELLO)
    play.says(Answer(1, Raw(HELLO)))
    play.calls.answer(1, HELLO)
    play.calls.fault(1, "gone", "too late")
    play.calls.send_data(1, b"too late")
    play.says()


def test_what_was_not_yet_written_is_not_said_after_the_answer() -> None:
    play, call = asker()
    play.calls.send_data(call, bytes(1000))
    play.calls.end(call)
    play.hears(Answer(1, NOTHING))
    play.says()


def test_a_fault_ends_a_call() -> None:
    play = asked()
    play.calls.fault(1, "not_found", "no such thing")
    play.says(Fault(1, "not_found", "no such thing"))
    play.calls.answer(1, HELLO)
    play.says()


def test_the_sides_count_their_calls_apart() -> None:
    opener, other = Calls(opener=True), Calls(opener=False)
    assert [opener.ask("a", b"\x80") for _ in range(3)] == [1, 3, 5]
    assert [other.ask("a", b"\x80") for _ in range(3)] == [2, 4, 6]


def test_an_ask_may_name_whom_it_is_for() -> None:
    play = Play(Calls(opener=True))
    play.calls.ask("greet", encode({"a": 1}), "kai")
    play.says(Ask(1, "greet", Raw(encode({"a": 1})), "kai"))


def test_bytes_and_values_of_a_call_keep_their_order() -> None:
    play, call = asker()
    play.calls.send_data(call, b"1")
    play.calls.send_item(call, HELLO)
    play.calls.send_data(call, b"2")
    play.calls.end(call)
    play.says(Data(1, b"1"), Item(1, HELLO), Data(1, b"2"), End(1))


def test_both_sides_of_a_call_send() -> None:
    play = asked()
    assert play.hears(Data(1, b"there"), End(1)) == [Data(1, b"there"), End(1)]
    play.calls.send_data(1, b"back")
    play.calls.answer(1, HELLO)
    play.says(Data(1, b"back"), Answer(1, Raw(HELLO)))


def test_the_answerer_may_send_after_the_asker_has_ended() -> None:
    play, call = asker()
    play.calls.end(call)
    play.says(End(1))
    assert play.hears(Data(1, b"x"), Answer(1, NOTHING)) == [Data(1, b"x"), Answer(1, NOTHING)]
    play.says()


def test_an_end_is_said_once_and_by_the_asker_only() -> None:
    play, call = asker()
    play.calls.end(call)
    play.calls.end(call)
    play.says(End(1))
    play = asked()
    play.calls.end(1)
    play.says()


def test_nothing_is_sent_after_the_end() -> None:
    play, call = asker()
    play.calls.end(call)
    with pytest.raises(LoopsyError, match="ended"):
        play.calls.send_data(call, b"more")
    play.says(End(1))


def test_a_ping_is_answered_with_its_number() -> None:
    play = Play(Calls(opener=True))
    assert play.hears(Ping(7)) == [None]
    play.says(Pong(7))
    play.calls.ping(3)
    play.says(Ping(3))
    assert play.hears(Pong(3)) == [Pong(3)]


def test_many_pings_make_one_pong() -> None:
    play = Play(Calls(opener=True))
    play.hears(*(Ping(number) for number in range(1000)))
    play.says(Pong(999))


# Taking back.


def test_a_call_that_was_taken_back_before_it_was_written_was_never_said() -> None:
    play = Play(Calls(opener=True))
    call = play.calls.ask("greet", b"\x80")
    play.calls.send_data(call, b"x")
    play.calls.end(call)
    play.calls.drop(call)
    play.says()
    assert play.calls.ask("greet", b"\x80") == 3
    play.says(Ask(3, "greet", NOTHING))


def test_dropping_takes_back_what_was_not_yet_written() -> None:
    play, call = asker()
    play.calls.send_data(call, bytes(1000))
    play.calls.drop(call)
    play.calls.drop(call)
    play.calls.send_data(call, b"too late")
    play.says(Drop(1))


def test_a_drop_ends_the_call_on_the_other_side() -> None:
    play = asked()
    play.calls.send_data(1, bytes(1000))
    assert play.hears(Drop(1)) == [Drop(1)]
    play.calls.answer(1, HELLO)
    play.calls.send_data(1, b"too late")
    play.says()


def test_a_drop_says_whether_the_asker_wished_it_or_is_lost() -> None:
    play = Play(Calls(opener=True))
    for lost in (False, True):
        call = play.calls.ask("x", b"\x80")
        play.said()
        play.calls.drop(call, lost=lost)
        play.says(Drop(call, lost))


def test_only_ones_own_calls_can_be_dropped() -> None:
    play = asked()
    play.calls.drop(1)
    play.says()
    play.calls.answer(1, HELLO)
    play.says(Answer(1, Raw(HELLO)))


def test_a_drop_that_crosses_the_answer_harms_nobody() -> None:
    near, call = asker()
    far = asked()
    near.calls.drop(call)
    far.calls.answer(1, HELLO)
    assert near.hears(*far.said()) == [None]
    assert far.hears(*near.said()) == [None]
    near.says()
    far.says()


def test_a_drop_that_comes_after_the_answer_was_decided_takes_back_its_unwritten_rest() -> None:
    play = asked()
    play.calls.send_data(1, bytes(100_000))
    play.calls.answer(1, HELLO)
    play.hears(Drop(1))
    play.says()


def test_what_comes_late_is_ignored() -> None:
    late = [Data(1, b"x"), Item(1, HELLO), Credit(1, 2**40), Answer(1, NOTHING), Fault(1, "a", "b")]
    play, call = asker()
    play.calls.drop(call)
    assert play.hears(*late) == [None] * 5
    play.says(Drop(1))
    assert play.hears(*late) == [None] * 5
    play.says()

    play = asked()
    play.calls.answer(1, HELLO)
    late = [Data(1, b"x"), Item(1, HELLO), Credit(1, 2**40), End(1), Drop(1)]
    assert play.hears(*late) == [None] * 5
    play.says()


# How many, how large.


def test_256_calls_may_be_open_and_no_more() -> None:
    play = Play(Calls(opener=True))
    calls = [play.calls.ask("greet", b"\x80") for _ in range(MAX_OPEN)]
    with pytest.raises(Busy, match="256"):
        play.calls.ask("greet", b"\x80")
    play.said()
    play.hears(Answer(calls[0], NOTHING))
    assert play.calls.ask("greet", b"\x80") == calls[-1] + 2


def test_the_257th_call_that_comes_is_told_that_we_are_busy() -> None:
    play = Play(Calls(opener=False))
    ids = range(1, 2 * MAX_OPEN + 1, 2)
    play.hears(*(Ask(number, "greet", NOTHING) for number in ids))
    assert play.hears(Ask(ids[-1] + 2, "greet", NOTHING)) == [None]
    [fault] = play.said()
    assert isinstance(fault, Fault)
    assert (fault.id, fault.code) == (ids[-1] + 2, "busy")
    assert play.hears(Data(fault.id, b"on its way already"), Drop(fault.id)) == [None, None]


def test_a_call_counts_until_its_last_word_is_written() -> None:
    play = Play(Calls(opener=False))
    play.hears(*(Ask(number, "greet", NOTHING) for number in range(1, 2 * MAX_OPEN, 2)))
    play.calls.answer(1, HELLO)
    play.hears(Ask(2 * MAX_OPEN + 1, "greet", NOTHING))
    assert {type(line) for line in play.said()} == {Fault, Answer}
    new = Ask(2 * MAX_OPEN + 3, "greet", NOTHING)
    assert play.hears(new) == [new]


def test_the_calls_of_the_two_sides_are_counted_apart() -> None:
    play = Play(Calls(opener=True))
    for _ in range(MAX_OPEN):
        play.calls.ask("greet", b"\x80")
    assert play.hears(Ask(2, "greet", NOTHING)) == [Ask(2, "greet", NOTHING)]


def test_what_is_too_long_to_be_asked_is_refused_and_opens_nothing() -> None:
    play = Play(Calls(opener=True))
    with pytest.raises(BadRequest, match="large"):
        play.calls.ask("greet", encode(bytes(MAX_MESSAGE)))
    play.says()
    assert play.calls.ask("greet", b"\x80") == 1


def test_an_answer_too_long_for_a_message_becomes_a_fault() -> None:
    play = asked()
    play.calls.answer(1, encode(bytes(MAX_MESSAGE)))
    [fault] = play.said()
    assert isinstance(fault, Fault)
    assert fault.code == "internal"


def test_the_longest_answer_and_the_longest_ask_fit_a_message() -> None:
    room = MAX_MESSAGE - len(encode(Answer(1, Raw(encode(bytes(70_000)))))) + 70_000
    play = asked()
    play.calls.answer(1, encode(bytes(room)))
    assert [len(message) for message in play.calls.take()] == [MAX_MESSAGE]
    play = asked()
    play.calls.answer(1, encode(bytes(room + 1)))
    assert isinstance(play.said()[0], Fault)


def test_a_fault_is_said_however_long_or_odd_its_message_is() -> None:
    play = asked()
    play.calls.fault(1, "gone", "x" * MAX_MESSAGE)
    [fault] = play.said()
    assert isinstance(fault, Fault)
    assert fault.code == "gone"
    assert fault.message.startswith("xxx")
    assert len(fault.message) < 10_000
    play = asked()
    play.calls.fault(1, "gone", "a file called \udcff")  # as Python names what is not UTF-8
    [fault] = play.said()
    assert isinstance(fault, Fault)
    assert fault.message.startswith("a file called ")


def test_details_of_a_fault_that_are_too_long_are_left_out() -> None:
    play = asked()
    play.calls.fault(1, "gone", "sorry", encode({"a": bytes(MAX_MESSAGE)}))
    play.says(Fault(1, "gone", "sorry"))


def test_a_connection_that_has_used_up_its_ids_says_so() -> None:
    calls = Calls(opener=True)
    calls._next_id = 2**31 - 1  # noqa: SLF001 - a thousand million calls later
    assert calls.ask("greet", b"\x80") == 2**31 - 1
    with pytest.raises(LoopsyError, match="reconnect"):
        calls.ask("greet", b"\x80")
