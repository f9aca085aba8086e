"""The end of a conversation: lost, silent, broken, left in order, or cut off for its greed."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import lockstep_stream_pair, wait_all_tasks_blocked

from loopsy_core.errors import (
    BadRequest,
    Busy,
    Gone,
    LoopsyError,
    NotFound,
    ProtocolViolation,
    Refused,
)
from loopsy_core.kit import one_error
from loopsy_core.links import Asked, FramedChannel, open_conversation
from loopsy_core.wire import Answer, Ask, Ping, Pong, Raw, encode
from loopsy_core.wire.calls import MAX_OPEN
from tests.core.links.links_world import (
    FailingChannel,
    Recorder,
    Stranger,
    Tell,
    Told,
    channels,
    echo,
    never,
    open_two,
    open_with_stranger,
)
from tests.play import NOTHING

if TYPE_CHECKING:
    from trio.testing import MockClock

# The end of the connection.


async def test_a_lost_connection_ends_all_waiting_calls_and_cancels_all_handlers(
    autojump_clock: MockClock,
) -> None:
    seen = Recorder()
    async with open_with_stranger(seen) as (ours, stranger):
        await stranger.says(*(Ask(number, "tell", NOTHING) for number in (1, 3, 5)))
        async with trio.open_nursery() as nursery:
            for _ in range(5):

                @nursery.start_soon
                async def ask() -> None:
                    with pytest.raises(Gone):
                        await ours.ask(Tell())

            await wait_all_tasks_blocked()
            assert len(seen.asked) == 3
            await stranger.leaves()
        assert isinstance(await ours.wait_closed(), Gone)
        await wait_all_tasks_blocked()
        assert seen.cancelled == 3
        assert ours.closed


async def test_whoever_asks_after_the_end_is_told_why_it_ended(autojump_clock: MockClock) -> None:
    channel = FailingChannel()
    async with open_conversation(channel, opener=True) as ours:
        channel.fail(Gone("the machine fell asleep"))
        await ours.wait_closed()
        with pytest.raises(Gone, match="fell asleep"):
            await ours.ask(Tell())
        with pytest.raises(Gone, match="fell asleep"):
            async with ours.open_call(Tell()):
                pass


@pytest.mark.parametrize("kind", [Gone, Refused, Busy, LoopsyError])
async def test_whatever_the_channel_ends_with_is_what_calls_raise(
    autojump_clock: MockClock, kind: type[LoopsyError]
) -> None:
    channel = FailingChannel()
    async with open_conversation(channel, opener=True) as ours, trio.open_nursery() as nursery:

        @nursery.start_soon
        async def ask() -> None:
            with pytest.raises(LoopsyError, match="says the relay") as caught:
                await ours.ask(Tell())
            assert type(caught.value) is kind

        await wait_all_tasks_blocked()
        channel.fail(kind("says the relay"))
        assert type(await ours.wait_closed()) is kind
    assert channel.closed_with[0] == "bye"


async def test_an_ended_conversation_does_not_remember_everybody_who_still_asked(
    autojump_clock: MockClock,
) -> None:
    channel = FailingChannel()
    async with open_conversation(channel, opener=True) as ours:
        channel.fail(Gone("lost"))
        await ours.wait_closed()
        for _ in range(100):
            with pytest.raises(Gone) as caught:
                await ours.ask(Tell())
    frames, traceback = 0, caught.value.__traceback__
    while traceback:
        frames, traceback = frames + 1, traceback.tb_next
    assert frames < 20


async def test_leaving_the_block_ends_the_calls_of_the_other_side(
    autojump_clock: MockClock,
) -> None:
    async with open_two(never) as (near, far), trio.open_nursery() as nursery:

        @nursery.start_soon
        async def ask() -> None:
            with pytest.raises(Gone):
                await near.ask(Tell())

        await wait_all_tasks_blocked()
        near.lose(Gone("as if we had left"))
        assert not far.closed


async def test_a_broken_protocol_ends_the_connection_with_one_warning(
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen = Recorder()
    async with open_with_stranger(seen) as (ours, stranger):
        await stranger.says(Ask(1, "tell", NOTHING), Ask(1, "tell", NOTHING), b"and garbage")
        error = await ours.wait_closed()
        assert isinstance(error, ProtocolViolation)
        with pytest.raises(ProtocolViolation):
            await ours.ask(Tell())
        with pytest.raises(Gone):  # the stranger is hung up on, and is told nothing
            await stranger.hears()
    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.levelno == logging.WARNING
    assert "not the other side's to open" in record.message


async def test_a_broken_protocol_is_told_to_the_transport(autojump_clock: MockClock) -> None:
    channel = FailingChannel()
    async with open_conversation(channel, opener=True) as ours:
        channel.fail(ProtocolViolation("garbage"))
        await ours.wait_closed()
        await wait_all_tasks_blocked()
        assert channel.closed_with == ["protocol"]


# Silence.


async def test_a_peer_that_falls_silent_is_gone_after_half_a_minute(
    autojump_clock: MockClock,
) -> None:
    async with open_with_stranger() as (ours, stranger):
        began = trio.current_time()
        assert await stranger.hears() == Ping(1)
        assert trio.current_time() - began == pytest.approx(15)
        error = await ours.wait_closed()
        assert isinstance(error, Gone)
        assert "30 seconds" in error.message
        assert trio.current_time() - began == pytest.approx(30)


async def test_a_peer_that_answers_pings_is_there_for_ever(autojump_clock: MockClock) -> None:
    async with open_with_stranger() as (ours, stranger):
        for _ in range(20):
            ping = await stranger.hears()
            assert isinstance(ping, Ping)
            await trio.sleep(14)
            await stranger.says(Pong(ping.number))
        assert not ours.closed


async def test_a_peer_that_talks_is_not_asked_for_signs_of_life(autojump_clock: MockClock) -> None:
    async with open_with_stranger() as (ours, stranger):
        for _ in range(10):
            await trio.sleep(14)
            await stranger.says(Ping(7))
            assert await stranger.hears() == Pong(7)
        assert not ours.closed


async def test_two_idle_sides_stay_together(autojump_clock: MockClock) -> None:
    async with open_two() as (near, far):
        await trio.sleep(900)
        assert await near.ask(Tell(text="hi")) == Told("tell:hi")
        assert not far.closed


async def test_a_call_may_take_longer_than_any_silence(autojump_clock: MockClock) -> None:
    async def slow(_asked: Asked) -> Told:
        await trio.sleep(600)
        return Told("at last")

    async with open_two(slow) as (near, _):
        assert await near.ask(Tell()) == Told("at last")


async def test_a_peer_that_stops_reading_and_writing_is_gone_all_the_same(
    autojump_clock: MockClock,
) -> None:
    async with open_with_stranger(streams=lockstep_stream_pair) as (ours, _):
        async with ours.open_call(Tell()) as call:
            with pytest.raises(Gone):
                await call.send(bytes(10**6))
        assert trio.current_time() <= 31


# Last words.


async def test_an_answer_given_right_before_leaving_arrives(autojump_clock: MockClock) -> None:
    one, other = channels(lockstep_stream_pair)
    done = trio.Event()

    async def answer(_asked: Asked) -> Told:
        done.set()
        return Told("my last word")

    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def leave_at_once() -> None:
            async with open_conversation(other, opener=False, answer=answer):
                await done.wait()

        async with open_conversation(one, opener=True) as near:
            assert await near.ask(Tell()) == Told("my last word")
            await near.wait_closed()


async def test_everything_queued_before_leaving_arrives(autojump_clock: MockClock) -> None:
    one, other = lockstep_stream_pair()
    heard: list[object] = []
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def listen() -> None:
            stranger = Stranger(FramedChannel(other), other)
            with suppress(Gone):
                while True:
                    heard.append(await stranger.hears())
            await stranger.leaves()

        async with open_conversation(FramedChannel(one), opener=True) as ours:
            for number in range(200):
                ours.calls.ask(str(number), bytes(NOTHING))
            ours.wake_writer()
    assert heard == [Ask(2 * number + 1, str(number), NOTHING) for number in range(200)]


async def test_a_goodbye_to_somebody_who_does_not_read_has_an_end(
    autojump_clock: MockClock,
) -> None:
    one, _other = channels(lockstep_stream_pair)
    began = trio.current_time()
    async with open_conversation(one, opener=True) as ours:
        ours.calls.ask("never read", b"\x80")
        ours.wake_writer()
    assert 2 <= trio.current_time() - began <= 4.5


async def test_leaving_with_nothing_to_say_takes_no_time(autojump_clock: MockClock) -> None:
    one, _other = channels(lockstep_stream_pair)
    began = trio.current_time()
    async with open_conversation(one, opener=True):
        pass
    assert trio.current_time() == began


async def test_leaving_with_an_error_says_no_goodbye_and_raises_it(
    autojump_clock: MockClock,
) -> None:
    one, _other = channels(lockstep_stream_pair)
    began = trio.current_time()

    async def leave() -> None:
        async with open_conversation(one, opener=True) as ours:
            ours.calls.ask("never read", b"\x80")
            ours.wake_writer()
            raise NotFound("my own")

    with pytest.raises(NotFound, match="my own"), one_error():
        await leave()
    assert trio.current_time() == began


async def test_a_reply_of_bytes_that_are_no_messagepack_is_refused(
    autojump_clock: MockClock,
) -> None:
    async with open_with_stranger(opener=True) as (ours, stranger), trio.open_nursery() as nursery:

        @nursery.start_soon
        async def answer() -> None:
            await stranger.hears()
            await stranger.says(Answer(1, Raw(encode([1, 2, 3]))))

        with pytest.raises(BadRequest):
            await ours.ask(Tell())
        assert not ours.closed


# Greed.


async def test_a_peer_that_asks_without_reading_is_cut_off(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_with_stranger(echo, streams=lockstep_stream_pair) as (ours, stranger):
        said = 0
        with suppress(Gone):
            for number in range(1, 100_000, 2):
                await stranger.says(Ask(number, "tell", NOTHING))
                said += 1
        assert MAX_OPEN < said < 3000
        assert isinstance(await ours.wait_closed(), ProtocolViolation)
    assert "thousand" in caplog.text


async def test_a_peer_that_pings_without_reading_makes_nothing_pile_up(
    autojump_clock: MockClock,
) -> None:
    async with open_with_stranger(streams=lockstep_stream_pair) as (ours, stranger):
        for number in range(5000):
            await stranger.says(Ping(number))
        assert not ours.closed
        assert [await stranger.hears(), await stranger.hears()] == [Pong(0), Pong(4999)]
