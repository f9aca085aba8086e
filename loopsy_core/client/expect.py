"""pexpect's semantics over a session's output; the searching is pexpect's own.

Loaded when something is expected for the first time: importing pexpect takes 10 ms.
"""

from __future__ import annotations

import codecs
from io import StringIO
from typing import TYPE_CHECKING, Final

import trio
from pexpect import EOF, TIMEOUT
from pexpect.expect import Expecter, searcher_re, searcher_string
from pexpect.spawnbase import SpawnBase

from loopsy_core.errors import BadRequest

from .unread import OutputLost

if TYPE_CHECKING:
    import re
    from collections.abc import Sequence
    from typing import TypeAlias

    from .lasting import Lasting

    Pattern: TypeAlias = "str | re.Pattern[str] | re.Pattern[bytes] | type[Exception]"
    Patterns: TypeAlias = "Pattern | Sequence[Pattern]"

__all__ = ["Expecting"]

LARGEST_PIECE: Final = 16_384
"""Bytes that are searched at once; others have their turn before the next."""
SEARCH_WINDOW: Final = 65_536
"""Characters, the latest, in which a match has to lie."""
MAX_BEFORE: Final = 4 << 20
"""Characters that are kept before a match, at least; twice as many at most."""
DEFAULT: Final = -1
"""What stands for the session's own `timeout` and `searchwindowsize`, as in pexpect."""
SHOWN: Final = 200
"""Characters of the output in an error's message."""


class Expecting(SpawnBase):  # type: ignore[misc]  # pexpect has no types
    """What pexpect calls a spawn, but what it reads is the output of a session."""

    def __init__(self, name: str, lasting: Lasting) -> None:
        """Read what `lasting` brings of the session `name`."""
        super().__init__(encoding="utf-8", codec_errors="replace")
        self._name = name
        self._lasting = lasting
        self._decoder = _new_decoder()
        self._busy = False
        self._forgotten = 0  # of what was searched since the last match
        self.searchwindowsize: int | None = SEARCH_WINDOW
        self.passed_over = 0

    def __str__(self) -> str:
        shown = self._before.getvalue()[-SHOWN:]
        return f"the session {self._name} has shown last: {shown!r}"

    async def until_matched(
        self, patterns: Patterns | None, seconds: float | None, window: int | None
    ) -> int:
        """Do what `RemoteSession.expect` says."""
        listed = list(patterns) if isinstance(patterns, tuple) else patterns
        return await self._seek(searcher_re(self.compile_pattern_list(listed)), seconds, window)

    async def until_shown(self, texts: Patterns, seconds: float | None, window: int | None) -> int:
        """Do what `RemoteSession.expect_exact` says."""
        listed = list(texts) if isinstance(texts, list | tuple) else [texts]
        for text in listed:
            if not isinstance(text, str) and text not in (EOF, TIMEOUT):
                self._pattern_type_err(text)
        return await self._seek(searcher_string(listed), seconds, window)

    async def _seek(self, searcher: object, seconds: float | None, window: int | None) -> int:
        """Feed pexpect what comes until it has found something: its `Expecter.expect_loop`."""
        if self._busy:
            raise BadRequest(f"another task already expects something of {self._name}")
        self._busy = True
        try:
            return await self._search(Expecter(self, searcher, window), seconds)
        finally:
            self._busy = False
            self.passed_over = self._forgotten
            if self.after not in (None, TIMEOUT) or not self._before.tell():
                self._forgotten = 0  # it has been told of: the next `before` begins anew

    async def _search(self, expecter: Expecter, seconds: float | None) -> int:
        seconds = self.timeout if seconds == DEFAULT else seconds
        deadline = float("inf") if seconds is None else trio.current_time() + seconds
        try:
            await trio.lowlevel.checkpoint()
            index = expecter.existing_data()
            while index is None:
                # Nothing is awaited between taking a piece and noting it, or it would be lost.
                index = expecter.new_data(await self._next(deadline, expecter.searchwindowsize))
                self._forget()
            return int(index)
        except EOF as error:
            return int(expecter.eof(error))
        except TIMEOUT as error:
            return int(expecter.timeout(error))
        except OutputLost:
            expecter.errored()
            # What comes now does not continue what came before.
            self._decoder = _new_decoder()
            self._buffer, self._before = StringIO(), StringIO()
            raise
        except BaseException:
            expecter.errored()
            raise

    async def _next(self, deadline: float, window: int | None) -> str:
        """Return the next text; raises `EOF`, `TIMEOUT`, `OutputLost`, or what ended the view."""
        # pexpect searches no more than the last `window` characters of a piece.
        most = LARGEST_PIECE if window is None else max(1, min(LARGEST_PIECE, window // 4))
        await trio.lowlevel.checkpoint()
        if trio.current_time() > deadline:
            raise TIMEOUT("the time is over")
        while True:
            if data := self._lasting.unread.take(most):
                if text := self._decoder.decode(data):
                    return text
            elif self._lasting.ended is not None:
                if text := self._decoder.decode(b"", final=True):
                    return text
                raise EOF("the program has ended")
            else:
                with trio.move_on_at(deadline) as patience:
                    await self._lasting.wait()
                if patience.cancelled_caught:
                    raise TIMEOUT("nothing of it came in time")

    def _forget(self) -> None:
        """Keep no more of what was searched than is promised."""
        if (extra := self._before.tell() - MAX_BEFORE) > MAX_BEFORE:
            self._forgotten += extra
            self._before = _latest(self._before)
        if self._buffer.tell() > 2 * MAX_BEFORE:
            self._buffer = _latest(self._buffer)


def _latest(text: StringIO) -> StringIO:
    latest = StringIO()
    latest.write(text.getvalue()[-MAX_BEFORE:])
    return latest


def _new_decoder() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")("replace")
