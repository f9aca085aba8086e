"""Credit and turns as plays: nobody sends more than it may, and nobody waits for a flood."""

from __future__ import annotations

import pytest

from loopsy_core.errors import LoopsyError
from loopsy_core.wire import (
    CHUNK,
    WIDE,
    WINDOW,
    Answer,
    Ask,
    Calls,
    Credit,
    Data,
    Ping,
    Pong,
    Raw,
    cost,
    encode,
)
from loopsy_core.wire.calls import WIDE_CALLS, WIDE_CHUNK
from loopsy_core.wire.messages import decode_message
from tests.play import HELLO, NOTHING, Play, asked, asker

WIDE_PIECE = bytes(WIDE_CHUNK)

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


def test_credit_comes_back_when_a_quarter_of_a_window_was_consumed() -> None:
    play = asked()
    play.hears(*(Data(1, bytes(CHUNK)) for _ in range(4)))
    assert not play.calls.consumed(1, cost(bytes(CHUNK)))
    assert play.calls.consumed(1, cost(bytes(CHUNK)))
    play.says(Credit(1, WINDOW + 2 * cost(bytes(CHUNK))))


def test_credit_comes_at_exactly_a_quarter_of_a_window() -> None:
    play = asked()
    play.hears(Data(1, bytes(WINDOW // 2)))
    assert not play.calls.consumed(1, WINDOW // 4 - 1)
    assert play.calls.consumed(1, 1)
    play.says(Credit(1, WINDOW // 4 + WINDOW))


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


@pytest.mark.parametrize("op", sorted(WIDE_CALLS))
def test_the_window_of_a_call_that_moves_files_can_be_widened(op: str) -> None:
    sender, receiver = Play(Calls(opener=True)), Play(Calls(opener=False))
    call = sender.calls.ask(op, bytes(NOTHING))
    assert sender.calls.widest(call) == WIDE
    sender.calls.send_data(call, bytes(sender.calls.allowance(call)))
    receiver.hears(*sender.said())
    assert receiver.calls.consumed(call, WINDOW, WIDE)
    sender.hears(*receiver.said())
    for _ in range(4):
        assert sender.calls.piece(call) == WIDE_CHUNK
        sender.calls.send_data(call, WIDE_PIECE)
    assert sender.calls.piece(call) == -cost(b"")
    receiver.hears(*sender.said())
    assert not receiver.calls.consumed(call, cost(WIDE_PIECE), WIDE), "not half of it was consumed"
    assert receiver.calls.consumed(call, cost(WIDE_PIECE), WIDE)
    receiver.says(Credit(call, WINDOW + 2 * cost(WIDE_PIECE) + WIDE))


def test_a_window_that_becomes_narrow_again_takes_no_credit_back() -> None:
    play = Play(Calls(opener=False))
    play.hears(Ask(1, "files.push", NOTHING), Data(1, bytes(WINDOW - cost(b""))))
    assert play.calls.consumed(1, WINDOW, WIDE)
    play.says(Credit(1, WINDOW + WIDE))
    play.hears(*(Data(1, WIDE_PIECE) for _ in range(4)))
    assert not play.calls.consumed(1, 3 * cost(WIDE_PIECE))
    assert play.calls.consumed(1, cost(WIDE_PIECE))
    play.says(Credit(1, WINDOW + WIDE + WINDOW))


def test_pieces_of_a_file_fill_whole_records_as_far_as_there_is_credit() -> None:
    play = Play(Calls(opener=True))
    call = play.calls.ask("files.push", bytes(NOTHING))
    sizes = []
    while (size := play.calls.piece(call)) > 0:
        sizes.append(size)
        play.calls.send_data(call, bytes(size))
    assert sizes == [WIDE_CHUNK, WINDOW - cost(WIDE_PIECE) - cost(b"")]
    play.said()
    play.hears(Credit(call, WINDOW + 2 * CHUNK + 1000))
    assert play.calls.piece(call) == 2 * CHUNK


def test_other_calls_send_pieces_of_one_record() -> None:
    play, call = asker()
    assert play.calls.widest(call) == WINDOW
    assert play.calls.piece(call) == CHUNK


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
