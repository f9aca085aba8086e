"""Conversations: asking and answering from both sides, and errors by their codes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from loopsy_core.errors import (
    BadRequest,
    Busy,
    Gone,
    LoopsyError,
    Misconfigured,
    NotFound,
    ProtocolViolation,
    Refused,
)
from loopsy_core.wire import MAX_MESSAGE, Fault
from loopsy_core.wire.calls import MAX_OPEN
from tests.core.links.links_world import (
    Recorder,
    Tell,
    Told,
    echo,
    never,
    open_two,
    open_with_stranger,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio.testing import MockClock

    from loopsy_core.links import Asked


def raising(error: BaseException) -> Callable[[Asked], Awaitable[object]]:
    async def answer(_asked: Asked) -> object:
        raise error

    return answer


async def test_an_ask_is_answered(autojump_clock: MockClock) -> None:
    async with open_two() as (near, _):
        assert await near.ask(Tell(text="hi")) == Told("tell:hi")


async def test_an_ask_says_whom_it_is_for(autojump_clock: MockClock) -> None:
    seen = Recorder()
    async with open_two(seen) as (near, _), near.open_call(Tell(text="hi"), to="kai"):
        await seen.came.wait()
        assert seen.asked[0].to == "kai"
        assert msgspec.msgpack.decode(seen.asked[0].params) == {"text": "hi"}


async def test_both_sides_ask_at_once(autojump_clock: MockClock) -> None:
    async with open_two(echo, echo) as (near, far), trio.open_nursery() as nursery:
        for asker in (near, far):
            for number in range(50):

                async def ask(asker: object = asker, number: int = number) -> None:
                    assert (await asker.ask(Tell(text=str(number)))).text == f"tell:{number}"

                nursery.start_soon(ask)


async def test_an_answerer_may_ask_back(autojump_clock: MockClock) -> None:
    async def ask_back(_asked: Asked) -> Told:
        return Told("they say " + (await far.ask(Tell(text="who?"))).text)

    async with open_two(ask_back, echo) as (near, far):
        assert await near.ask(Tell()) == Told("they say tell:who?")


async def test_answers_find_their_asks_whatever_the_order(autojump_clock: MockClock) -> None:
    async def slow_first(asked: Asked) -> Told:
        text = msgspec.msgpack.decode(asked.params, type=Tell).text
        await trio.sleep(10 - int(text))
        return Told(text)

    async with open_two(slow_first) as (near, _), trio.open_nursery() as nursery:
        for number in range(10):

            async def ask(number: int = number) -> None:
                assert (await near.ask(Tell(text=str(number)))).text == str(number)

            nursery.start_soon(ask)


# Errors.


@pytest.mark.parametrize(
    "kind",
    [LoopsyError, BadRequest, Refused, NotFound, Gone, Busy, Misconfigured, ProtocolViolation],
)
async def test_an_error_crosses_by_its_code(
    autojump_clock: MockClock, kind: type[LoopsyError]
) -> None:
    async with open_two(raising(kind("why and what to try"))) as (near, _):
        for _ in range(2):
            with pytest.raises(LoopsyError, match=r"^why and what to try$") as caught:
                await near.ask(Tell())
            assert type(caught.value) is kind


async def test_an_error_that_a_nursery_wrapped_crosses_all_the_same(
    autojump_clock: MockClock,
) -> None:
    async def answer(_asked: Asked) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(never, _asked)
            raise Refused("not you")

    async with open_two(answer) as (near, _):
        with pytest.raises(Refused, match="not you"):
            await near.ask(Tell())


async def test_errors_of_several_tasks_are_no_bug_when_all_were_foreseen(
    autojump_clock: MockClock,
) -> None:
    async def answer(asked: Asked) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(raising(Refused("not you")), asked)

    async with open_two(answer) as (near, _):
        with pytest.raises(Refused, match="not you"):
            await near.ask(Tell())


async def test_an_error_of_a_newer_version_is_an_internal_one(autojump_clock: MockClock) -> None:
    async with open_with_stranger(opener=True) as (ours, stranger), trio.open_nursery() as nursery:

        @nursery.start_soon
        async def answer() -> None:
            await stranger.hears()
            await stranger.says(Fault(1, "teapot", "short and stout"))

        with pytest.raises(LoopsyError, match="short and stout") as caught:
            await ours.ask(Tell())
        assert type(caught.value) is LoopsyError


@pytest.mark.logs_errors
async def test_a_bug_is_logged_and_told_as_internal_while_all_else_goes_on(
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def answer(asked: Asked) -> object:
        if b"bug" in bytes(asked.params):
            raise ZeroDivisionError("of all things")
        return await echo(asked)

    async with open_two(answer) as (near, _):
        with pytest.raises(LoopsyError, match="tell failed here; the log says why") as caught:
            await near.ask(Tell(text="bug"))
        assert type(caught.value) is LoopsyError
        assert await near.ask(Tell(text="hi")) == Told("tell:hi")
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "tell failed" in record.message
    assert record.exc_info
    assert "of all things" not in str(caught.value)


@pytest.mark.logs_errors
@pytest.mark.parametrize(
    "result",
    [object(), {"a": {1, 2}.__iter__()}, Told("\udcff"), 2**70],
    ids=["object", "iterator", "surrogate", "large"],
)
async def test_a_reply_that_cannot_be_written_is_a_bug_of_that_call_alone(
    autojump_clock: MockClock, result: object, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(asked: Asked) -> object:
        return result if b"bug" in bytes(asked.params) else await echo(asked)

    async with open_two(answer) as (near, _):
        with pytest.raises(LoopsyError, match="the log says why"):
            await near.ask(Tell(text="bug"))
        assert await near.ask(Tell(text="hi")) == Told("tell:hi")
    assert "tell failed" in caplog.text


async def test_a_reply_too_large_for_a_message_is_a_fault_of_that_call_alone(
    autojump_clock: MockClock,
) -> None:
    async def answer(asked: Asked) -> object:
        return Told("x" * MAX_MESSAGE) if b"large" in bytes(asked.params) else await echo(asked)

    async with open_two(answer) as (near, _):
        with pytest.raises(LoopsyError, match="too large"):
            await near.ask(Tell(text="large"))
        assert await near.ask(Tell(text="hi")) == Told("tell:hi")


async def test_a_request_too_large_for_a_message_is_refused_here(autojump_clock: MockClock) -> None:
    async with open_two() as (near, _):
        with pytest.raises(BadRequest, match="too large"):
            await near.ask(Tell(text="x" * MAX_MESSAGE))
        assert await near.ask(Tell(text="hi")) == Told("tell:hi")


@pytest.mark.parametrize("message", ["x" * (2 * MAX_MESSAGE), "a file called \udcff", "", "é\0\n"])
async def test_an_error_with_any_message_costs_its_call_only(
    autojump_clock: MockClock, message: str
) -> None:
    async with open_two(raising(NotFound(message))) as (near, _):
        for _ in range(2):
            with pytest.raises(NotFound):
                await near.ask(Tell())


async def test_a_reply_that_is_not_what_was_promised_is_refused(autojump_clock: MockClock) -> None:
    async def answer(_asked: Asked) -> object:
        return {"text": 5}

    async with open_two(answer) as (near, _):
        with pytest.raises(BadRequest, match="`text`"):
            await near.ask(Tell())


async def test_a_side_that_answers_nothing_says_so(autojump_clock: MockClock) -> None:
    async with open_two(None) as (near, _):
        with pytest.raises(BadRequest, match="answers no calls"):
            await near.ask(Tell())


async def test_too_many_calls_at_once_are_busy_and_hurt_no_other(autojump_clock: MockClock) -> None:
    seen = Recorder()
    async with open_two(seen) as (near, _), trio.open_nursery() as nursery:
        for _ in range(MAX_OPEN):
            nursery.start_soon(near.ask, Tell())
        await wait_all_tasks_blocked()
        with pytest.raises(Busy, match="256"):
            await near.ask(Tell())
        assert len(seen.asked) == MAX_OPEN
        nursery.cancel_scope.cancel()
