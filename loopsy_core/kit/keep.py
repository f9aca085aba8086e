"""Keeping tasks alive, and keeping failures small.

`keep_running` does a thing again whenever it fails, `contained` turns a failure into a line of
the log, and `one_error` gives a caller the one error that a nursery wrapped in a group.
"""

from __future__ import annotations

from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Final, NoReturn

import trio

from loopsy_core.errors import LoopsyError

if TYPE_CHECKING:
    import logging
    from collections.abc import Awaitable, Callable, Generator, Iterator

__all__ = ["Backoff", "contained", "keep_running", "one_error"]

# Characters of one error's text in a log line. It may be a stranger's words, of any length.
_MOST_TEXT: Final = 500


class Backoff:
    """Delays that grow with every failure, and are jittered so that a crowd does not come at once.

    The n-th delay lies between half and all of `first * factor**n`, and never above `most`.
    """

    def __init__(
        self,
        first: float = 0.5,
        most: float = 30.0,
        factor: float = 2.0,
        random: Random | None = None,
    ) -> None:
        """Begin at `first` seconds; pass a seeded `random` to know the delays beforehand.

        Raises `ValueError` unless 0 < first <= most and factor >= 1.
        """
        if not 0 < first <= most or not factor >= 1:
            raise ValueError("need 0 < first <= most and factor >= 1")
        self._first = first
        self._most = most
        self._factor = factor
        self._random = random or Random()
        self._longest = first

    def next(self) -> float:
        """Return the seconds to wait this time, and be more patient the next."""
        delay = self._longest * self._random.uniform(0.5, 1.0)
        self._longest = min(self._most, self._longest * self._factor)
        return delay

    def reset(self) -> None:
        """Begin again with short delays."""
        self._longest = self._first


async def keep_running(
    once: Callable[[], Awaitable[None]],
    *,
    backoff: Backoff,
    give_up_on: tuple[type[Exception], ...],
    steady: float = 30.0,
    on_failure: Callable[[Exception, float], None],
) -> NoReturn:
    """Call `once` for ever, with a pause of `backoff` between one run and the next.

    An error of `give_up_on` ends it and is raised, taken out of any exception group (its
    companions become notes on it). Every other `Exception` is passed to
    `on_failure(error, delay)`, with the seconds until the next try. A run that simply returns is
    no failure, but is paced all the same, lest a far side that hangs up politely makes us spin.
    A run that lasted `steady` seconds resets the backoff. Cancel it to end it.
    """
    while True:
        began = trio.current_time()
        failure: Exception | None = None
        try:
            with one_error():
                await once()
        except Exception as error:  # whatever it was, it is a reason to try again
            failure = error
        if trio.current_time() - began >= steady:
            backoff.reset()
        delay = backoff.next()
        if failure is not None:
            _raise_any(failure, give_up_on)
            on_failure(failure, delay)
        await trio.sleep(delay)


@contextmanager
def contained(log: logging.Logger, what: str) -> Generator[None]:
    """Turn an `Exception` that leaves the block into one record in `log`; works around awaits.

    `what` begins the line ("phone 4f2a: ..."). Our own errors were foreseen, and are warnings; any
    other is somebody's bug, logged as an error with its traceback. Of an exception group only
    the `Exception`s are taken: `Cancelled`, `KeyboardInterrupt` and the like always go on.
    """
    try:
        yield
    except* Exception as group:
        errors = list(_leaves(group))
        text = "; ".join(_describe(error) for error in errors)
        if all(isinstance(error, LoopsyError) for error in errors):
            log.warning("%s: %s", what, text)
        else:
            # A group of one would only bury the traceback that matters.
            log.error("%s: %s", what, text, exc_info=errors[0] if len(errors) == 1 else group)


@contextmanager
def one_error() -> Generator[None]:
    """Raise what a nursery inside raises as if the nursery were not there; works around awaits.

    For a function whose nursery is its private matter, so that callers may write `except Gone`.

    - Groups, however nested, that hold one error: that error, with its own traceback. It may be
      in there several times, when several tasks waited for the same thing that failed.
    - One error beside any number of `Cancelled`: that error. A scope that is cancelled stays so
      and strikes again at the next checkpoint, so nothing is lost; kept, the mixture would pass
      the caller's `except` and come out of the scope as a group, but only in the rare run in
      which an error and a cancellation meet.
    - Nothing but `Cancelled`: the group as it is, for the scope it belongs to.
    - Several errors: the group as it is. Choosing one would hide the others.
    """
    try:
        yield
        return
    except BaseExceptionGroup as group:
        errors = [leaf for leaf in _leaves(group) if not isinstance(leaf, trio.Cancelled)]
        if len(set(map(id, errors))) != 1:
            raise
        error = errors[0]
    # Python would note the group as the context of the very error that it holds: noise in every
    # traceback, and what the error really came from would be overwritten.
    context = error.__context__
    try:
        raise error
    finally:
        error.__context__ = context
        # An error in its own traceback's frame is a cycle, which keeps all its frames alive.
        del error, errors, context


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """Walk the errors of a group, however nested; an error that is no group is its own leaf."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _raise_any(error: Exception, kinds: tuple[type[Exception], ...]) -> None:
    """Raise the first of `kinds` in `error`, if there is one."""
    leaves = list(_leaves(error))
    for leaf in leaves:
        if isinstance(leaf, kinds):
            for other in leaves:
                if other is not leaf:
                    leaf.add_note(f"at the same time: {_describe(other)}")
            raise leaf


def _describe(error: BaseException) -> str:
    """Put an error into one short line, whatever line breaks a stranger sent."""
    text = " ".join(str(error).split())[:_MOST_TEXT]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
