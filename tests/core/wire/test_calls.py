"""Calls as plays: what a machine says to what it hears, while everybody keeps to the rules."""

from __future__ import annotations

import pytest

from loopsy_core.errors import BadRequest, Busy, LoopsyError
from loopsy_core.wire import (
    CHUNK,
    MAX_MESSAGE,
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
    Ping,
    Pong,
    Raw,
    cost,
    encode,
)
from loopsy_core.wire.calls import MAX_OPEN
from loopsy_core.wire.messages import decode_message
from tests.play import NOTHING, Play

HELLO = encode("hello")


def asker() -> tuple[Play, int]:
    """Return the side that opened the connection, with a call that it has asked."""
    play = Play(Calls(opener=True))
    call = play.calls.ask("greet", bytes(NOTHING))
    play.says(Ask(1, "greet", NOTHING))
    return play, call


def asked() -> Play:
    """Return the side that was called, with a call that it has been asked."""
    play = Play(Calls(opener=False))
    assert play.hears(Ask(1, "greet", NOTHING)) == [Ask(1, "greet", NOTHING)]
    return play


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


# Credit.


def test_a_call_begins_with_a_window_of_credit() -> None:
    play, call = asker()
    assert play.calls.allowance(call) == WINDOW - cost(b"")
    play.calls.send_data(call, b"12345")
    assert play.calls.allowance(call) == WINDOW - cost(b"12345") - cost(b"")


def test_the_last_byte_of_credit_can_be_spent_and_no_more() -> None:
    play, call = asker()
    play.calls.send_data(call, bytes(play.calls.allowance(call)))
    assert play.calls.allowance(call) < 1
    with pytest.raises(LoopsyError, match="credit"):
        play.calls.send_data(call, b"")
    assert len(play.said()) == 1


def test_sending_too_much_by_mistake_spends_nothing() -> None:
    play, call = asker()
    with pytest.raises(LoopsyError, match="credit"):
        play.calls.send_item(call, bytes(WINDOW))
    assert play.calls.allowance(call) == WINDOW - cost(b"")
    play.says()


def test_credit_comes_back_when_half_a_window_was_consumed() -> None:
    play = asked()
    play.hears(*(Data(1, bytes(CHUNK)) for _ in range(4)))
    assert not play.calls.consumed(1, cost(bytes(CHUNK)))
    assert not play.calls.consumed(1, cost(bytes(CHUNK)))
    assert play.calls.consumed(1, cost(bytes(CHUNK)))
    play.says(Credit(1, WINDOW + 3 * cost(bytes(CHUNK))))


def test_credit_comes_at_exactly_half_a_window() -> None:
    play = asked()
    play.hears(Data(1, bytes(WINDOW // 2)))
    assert not play.calls.consumed(1, WINDOW // 2 - 1)
    assert play.calls.consumed(1, 1)
    play.says(Credit(1, WINDOW // 2 + WINDOW))


def test_only_the_newest_credit_is_said() -> None:
    play = asked()
    play.hears(Data(1, bytes(200_000)))
    play.calls.grant(1, WINDOW + 1)
    play.calls.grant(1, WINDOW + 3)
    assert not play.calls.grant(1, WINDOW + 2)
    play.says(Credit(1, WINDOW + 3))


def test_credit_lets_the_sender_go_on() -> None:
    play, call = asker()
    piece = bytes(WINDOW - cost(b""))
    play.calls.send_data(call, piece)
    play.says(Data(1, piece))
    assert play.hears(Credit(1, 2 * WINDOW)) == [Credit(1, 2 * WINDOW)]
    play.calls.send_data(call, piece)
    play.says(Data(1, piece))


def test_credit_never_goes_down() -> None:
    play, call = asker()
    play.calls.send_data(call, bytes(1000))
    play.said()
    play.hears(Credit(1, WINDOW + 1000))
    assert play.hears(Credit(1, WINDOW), Credit(1, 0)) == [None, None]
    assert play.calls.allowance(call) == WINDOW - 2 * cost(b"")


def test_nothing_is_given_for_a_call_that_is_over() -> None:
    play = asked()
    play.hears(Data(1, bytes(200_000)))
    play.calls.grant(1, WINDOW + 1)
    play.calls.answer(1, HELLO)
    assert not play.calls.consumed(1, 200_000)
    assert not play.calls.grant(1, 2 * WINDOW)
    play.says(Answer(1, Raw(HELLO)))


def test_a_call_that_never_was_has_no_credit() -> None:
    assert Calls(opener=True).allowance(1) == 0
    assert not Calls(opener=True).consumed(1, 10**6)


# Taking turns.


def test_calls_take_turns_on_the_wire() -> None:
    play = Play(Calls(opener=True))
    flood, calm = play.calls.ask("flood", b"\x80"), play.calls.ask("calm", b"\x80")
    play.said()
    for _ in range(4):
        play.calls.send_data(flood, bytes(60_000))
    play.calls.send_data(calm, b"a key")
    first, second, *_ = (decode_message(message) for message in play.calls.take(CHUNK))
    assert first == Data(flood, bytes(60_000))
    assert second == Data(calm, b"a key")


def test_a_flooding_call_keeps_no_other_waiting_for_more_than_one_round() -> None:
    play = Play(Calls(opener=True))
    floods = [play.calls.ask("flood", b"\x80") for _ in range(10)]
    calm = play.calls.ask("calm", b"\x80")
    play.said()
    for call in floods:
        for _ in range(30):
            play.calls.send_data(call, bytes(8000))
    # Wherever the line stands when the calm call comes: its word is among the next eleven.
    for _ in range(5):
        play.calls.take(CHUNK)
        play.calls.send_data(calm, b"a key")
        round_ = [play.calls.take(1)[0] for _ in range(len(floods) + 1)]
        assert encode(Data(calm, b"a key")) in round_


def test_a_batch_is_bounded() -> None:
    play, call = asker()
    for _ in range(200):
        play.calls.send_data(call, bytes(1000))
    batch = play.calls.take(CHUNK)
    assert CHUNK <= sum(map(len, batch)) < CHUNK + 1100
    assert play.calls.pending


def test_small_news_goes_first() -> None:
    play = asked()
    play.hears(Data(1, bytes(200_000)))
    for _ in range(3):
        play.calls.send_data(1, bytes(CHUNK))
    play.calls.consumed(1, 200_016)
    play.hears(Ping(1))
    first, second, *_ = play.said()
    assert (first, second) == (Pong(1), Credit(1, WINDOW + 200_016))


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
