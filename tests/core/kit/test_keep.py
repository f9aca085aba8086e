"""Failures are retried, contained or unwrapped; cancellation passes through all of it."""

from __future__ import annotations

import logging
import traceback
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.errors import Gone, Refused
from loopsy_core.kit import Backoff, contained, keep_running, one_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_log = logging.getLogger("test")


class _Runs:
    """A `once` that plays a script: what each run lasts and raises; then it hangs."""

    def __init__(self, *script: tuple[float, BaseException | None]) -> None:
        self._script = list(script)
        self.began: list[float] = []
        self.failures: list[tuple[str, float]] = []

    async def once(self) -> None:
        self.began.append(trio.current_time())
        if not self._script:
            await trio.sleep_forever()
        lasted, error = self._script.pop(0)
        await trio.sleep(lasted)
        if error is not None:
            raise error

    def on_failure(self, error: Exception, delay: float) -> None:
        self.failures.append((repr(error), delay))

    async def keep(self) -> None:
        await keep_running(
            self.once,
            backoff=Backoff(1, 8, 2, random=_Longest()),
            give_up_on=(Refused,),
            on_failure=self.on_failure,
        )


class _Longest(Random):
    """Jitter that always comes out at its longest."""

    def uniform(self, a: float, b: float) -> float:
        del a
        return b


@given(
    seed=st.integers(),
    first=st.floats(0.01, 5),
    most=st.floats(5, 100),
    factor=st.floats(1, 10),
)
def test_delays_stay_between_half_and_all_of_what_they_grow_to(
    seed: int, first: float, most: float, factor: float
) -> None:
    backoff = Backoff(first, most, factor, random=Random(seed))
    for n in range(30):
        longest = min(most, first * factor**n)
        assert longest / 2 * 0.999 <= backoff.next() <= longest * 1.001
    backoff.reset()
    assert backoff.next() <= first


@pytest.mark.parametrize(("first", "most", "factor"), [(0, 1, 2), (2, 1, 2), (1, 2, 0.5)])
def test_a_backoff_that_makes_no_sense_is_refused(first: float, most: float, factor: float) -> None:
    with pytest.raises(ValueError, match="need"):
        Backoff(first, most, factor)


async def test_a_failing_run_is_reported_and_tried_again_ever_later(
    autojump_clock: trio.testing.MockClock,
) -> None:
    runs = _Runs(*[(0, Gone("away"))] * 5)
    with trio.move_on_after(100):
        await runs.keep()
    assert runs.failures == [("Gone('away')", delay) for delay in (1, 2, 4, 8, 8)]
    assert [began - runs.began[0] for began in runs.began] == [0, 1, 3, 7, 15, 23]


async def test_a_run_that_held_a_while_earns_a_fresh_start(
    autojump_clock: trio.testing.MockClock,
) -> None:
    runs = _Runs((0, Gone("")), (29, Gone("")), (30, Gone("")), (0, Gone("")))
    with trio.move_on_after(200):
        await runs.keep()
    assert [delay for _, delay in runs.failures] == [1, 2, 1, 2]


async def test_a_run_that_just_returns_is_paced_but_no_failure(
    autojump_clock: trio.testing.MockClock,
) -> None:
    runs = _Runs((0, None), (0, None), (50, None))
    with trio.move_on_after(200):
        await runs.keep()
    assert runs.failures == []
    assert [began - runs.began[0] for began in runs.began] == [0, 1, 3, 54]


async def test_what_makes_retrying_pointless_is_raised_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    runs = _Runs((0, Gone("away")), (0, Refused("unknown key")))
    with pytest.raises(Refused, match="unknown key"):
        await runs.keep()
    assert len(runs.failures) == 1


async def test_giving_up_comes_out_of_a_group_and_its_companions_become_notes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    group = ExceptionGroup("", [Gone("cut"), ExceptionGroup("", [Refused("no")])])
    with pytest.raises(Refused, match="no") as refused:
        await _Runs((0, group)).keep()
    assert refused.value.__notes__ == ["at the same time: Gone: cut"]


async def test_a_group_of_one_is_reported_as_that_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    runs = _Runs((0, ExceptionGroup("", [ExceptionGroup("", [Gone("deep")])])))
    with trio.move_on_after(50):
        await runs.keep()
    assert runs.failures == [("Gone('deep')", 1)]


async def test_cancelling_ends_it_during_a_run_and_during_a_pause(
    autojump_clock: trio.testing.MockClock,
) -> None:
    for moment in (5, 10.5):
        runs = _Runs((10, Gone("")))
        with trio.move_on_after(moment) as scope:
            await runs.keep()
        assert scope.cancelled_caught
        assert len(runs.began) == 1


def test_a_foreseen_failure_becomes_one_short_warning(caplog: pytest.LogCaptureFixture) -> None:
    with contained(_log, "kai"):
        raise Gone("went\naway " + "x" * 9999)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.exc_info is None
    assert record.getMessage().startswith("kai: Gone: went away xxx")
    assert len(record.getMessage()) < 600


def test_a_bug_becomes_an_error_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with contained(_log, "kai"):
        raise ExceptionGroup("", [ZeroDivisionError("oops")])
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "kai: ZeroDivisionError: oops"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ZeroDivisionError)


def test_several_failures_share_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with contained(_log, "kai"):
        raise ExceptionGroup("", [Gone("a"), Refused("b")])
    assert [record.getMessage() for record in caplog.records] == ["kai: Gone: a; Refused: b"]


async def test_containing_leaves_cancellation_alone(caplog: pytest.LogCaptureFixture) -> None:
    passed = False
    with trio.CancelScope() as scope:
        with contained(_log, "kai"):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                nursery.start_soon(_fail_when_cancelled, Gone("late"))
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        passed = True
    assert scope.cancelled_caught
    assert not passed
    assert [record.getMessage() for record in caplog.records] == ["kai: Gone: late"]


def test_containing_lets_an_interrupt_pass() -> None:
    with pytest.raises(KeyboardInterrupt), contained(_log, "kai"):
        raise KeyboardInterrupt


async def test_the_one_error_of_nested_nurseries_comes_out_alone() -> None:
    async def nested() -> None:
        async with trio.open_nursery(), trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(_fail, Gone("deep"))

    with pytest.raises(Gone, match="deep"), one_error():
        await nested()


async def test_the_one_error_keeps_its_traceback_and_its_origin() -> None:
    async def translate() -> None:
        try:
            raise OSError("cable")
        except OSError:
            raise Gone("unplugged")  # noqa: B904 - its context is the point

    with pytest.raises(Gone) as gone, one_error():
        await _together(translate)
    assert isinstance(gone.value.__context__, OSError)
    assert "translate" in [frame.name for frame in traceback.extract_tb(gone.value.__traceback__)]


async def test_several_errors_stay_a_group() -> None:
    with pytest.raises(ExceptionGroup) as group, one_error():
        await _together(partial(_fail, Gone("a")), partial(_fail, Gone("b")))
    assert len(group.value.exceptions) == 2


async def test_one_error_that_several_tasks_met_comes_out_alone() -> None:
    error = Gone("the connection was lost")
    with pytest.raises(Gone) as gone, one_error():
        await _together(partial(_fail, error), partial(_fail, error))
    assert gone.value is error


async def test_an_error_that_meets_a_cancellation_comes_out_as_itself(
    autojump_clock: trio.testing.MockClock,
) -> None:
    late = partial(_fail_when_cancelled, Gone("late"))
    with pytest.raises(Gone, match="late"), trio.move_on_after(1), one_error():
        await _together(trio.sleep_forever, late)


async def test_cancellation_alone_still_reaches_its_scope() -> None:
    with trio.CancelScope() as scope, one_error():
        raise BaseExceptionGroup("", await _two_cancellations(scope))
    assert scope.cancelled_caught


async def test_no_error_is_no_error() -> None:
    with one_error():
        await trio.lowlevel.checkpoint()
    with pytest.raises(Gone), one_error():
        raise Gone("bare")


async def _together(*tasks: Callable[[], Awaitable[None]]) -> None:
    async with trio.open_nursery() as nursery:
        for task in tasks:
            nursery.start_soon(task)


async def _fail(error: Exception) -> None:
    raise error


async def _fail_when_cancelled(error: Exception) -> None:
    try:
        await trio.sleep_forever()
    except trio.Cancelled:
        raise error from None


async def _two_cancellations(scope: trio.CancelScope) -> list[trio.Cancelled]:
    scope.cancel()
    caught: list[trio.Cancelled] = []
    for _ in range(2):
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as cancelled:
            caught.append(cancelled)
    return caught
