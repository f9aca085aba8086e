"""A session seen from a script: type into it, wait for what it says, see its screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import trio

from loopsy_core.errors import BadRequest, Gone
from loopsy_core.wire import EndSession, ResizeSession, ShowScreen

if TYPE_CHECKING:
    import re
    from collections.abc import Awaitable, Callable

    from loopsy_core.wire import Operation, SessionInfo

    from .client import Client
    from .expect import Expecting, Patterns
    from .lasting import Lasting

__all__ = ["RemoteSession"]

BETWEEN_TRIES: Final = 0.2
"""Seconds between two tries to ask a node that is away."""

R = TypeVar("R")


class RemoteSession:
    """A program on its terminal; `Client.start_session` and `Client.session` open one.

    `expect` and what belongs to it is pexpect's, over UTF-8 text: see pexpect's documentation.
    A node that goes away and comes back (`loopsy restart`, an upgrade, `kill -9`) is waited for,
    and nothing is missing or doubled then, in either direction. Methods raise `Gone` when it
    stays away for longer than the block's `patience`, and when the block has been left.
    """

    def __init__(
        self, client: Client, info: SessionInfo, lasting: Lasting, patience: float
    ) -> None:
        """Stand for the session `info` that `lasting` views."""
        self.id: Final = info.id
        self.name: Final = info.name
        """Its name when the block began; somebody may rename it."""
        self._client = client
        self._lasting = lasting
        self._patience = patience
        self._expecting_or_none: Expecting | None = None

    @property
    def ended(self) -> bool:
        """Whether the program has ended and all that it said has come."""
        return self._lasting.ended is not None

    # Typing.

    async def send(self, data: str | bytes) -> None:
        """Type `data`; text is sent in UTF-8, and as it is: a line ends with `send_line`.

        Returns when it is noted, not when it has arrived: it is typed once, over whatever
        connections that takes, ahead of what is sent later. Waits while 1 MiB is under way.
        Cancelled, some beginning of `data` is typed, all or nothing up to 16 KiB. Raises `Gone`
        when the program has ended.
        """
        await self._lasting.type(data.encode() if isinstance(data, str) else data)

    async def send_line(self, line: str | bytes = "") -> None:
        """Type `line` and Enter; otherwise as `send`."""
        data = line.encode() if isinstance(line, str) else line
        await self._lasting.type(data + b"\r")

    async def send_control(self, key: str) -> None:
        r"""Type Ctrl and `key`: a letter, or one of ``@[\]^_?``. Ctrl-C is `send_control("c")`.

        Raises `BadRequest` for any other; otherwise as `send`.
        """
        await self._lasting.type(_control(key))

    # Waiting for what it says.

    async def expect(
        self,
        patterns: Patterns | None,
        timeout: float | None = -1,  # noqa: ASYNC109 - pexpect's
        searchwindowsize: int | None = -1,
    ) -> int:
        """Read until one of `patterns` matches; return its index, 0 if it is the only one.

        A pattern is a regular expression as a string (in which `.` matches newlines, too) or
        compiled, or `pexpect.EOF` or `pexpect.TIMEOUT`. Lines end with CR LF, as a terminal has
        them. Afterwards `before`, `after`, `match` and `match_index` tell what was found; what
        lies behind the match waits for the next call.

        `timeout` is in seconds, None for ever, by default that of the session (`self.timeout`,
        30). A match lies within the latest `searchwindowsize` characters, by default those of
        the session (`self.searchwindowsize`, 65 536). Each piece of output is searched without
        a pause for other tasks, so that a window also bounds what a bad pattern may cost; with
        None all that is kept is searched again for each piece.

        Raises `pexpect.TIMEOUT` and `pexpect.EOF` (the program has ended, and all it said was
        read) if they are not among the patterns; `OutputLost`, once, where output is missing;
        `TypeError` for what is no pattern; `BadRequest` when another task expects something.
        Cancelled or failed otherwise, nothing was taken: the next call searches it anew, and
        `before` shows it.
        """
        return await self._expecting.until_matched(patterns, timeout, searchwindowsize)

    async def expect_exact(
        self,
        texts: Patterns,
        timeout: float | None = -1,  # noqa: ASYNC109 - pexpect's
        searchwindowsize: int | None = -1,
    ) -> int:
        """Read until one of `texts` comes, each taken literally; otherwise as `expect`."""
        return await self._expecting.until_shown(texts, timeout, searchwindowsize)

    @property
    def before(self) -> str | None:
        """What came before the last match; after an error, all that was not matched.

        After more than 4 Mi characters without a match only the latest are kept, and
        `passed_over` says how many are missing at the beginning.
        """
        before: str | None = self._expecting.before
        return before

    @property
    def passed_over(self) -> int:
        """How many characters at the beginning of `before` were searched but not kept."""
        return self._expecting.passed_over

    @property
    def after(self) -> str | type[Exception] | None:
        """The text that matched, or `EOF` or `TIMEOUT`; None after another error."""
        after: str | type[Exception] | None = self._expecting.after
        return after

    @property
    def match(self) -> re.Match[str] | str | type[Exception] | None:
        """The match (`expect_exact`: the text), or `EOF` or `TIMEOUT`; None after an error."""
        match: re.Match[str] | str | type[Exception] | None = self._expecting.match
        return match

    @property
    def match_index(self) -> int | None:
        """What the last `expect` returned; None after an error."""
        index: int | None = self._expecting.match_index
        return index

    @property
    def timeout(self) -> float | None:
        """Seconds that `expect` waits unless told otherwise, None for ever; may be set."""
        seconds: float | None = self._expecting.timeout
        return seconds

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        self._expecting.timeout = seconds

    @property
    def searchwindowsize(self) -> int | None:
        """Characters in which a match must lie unless `expect` is told otherwise; may be set."""
        characters: int | None = self._expecting.searchwindowsize
        return characters

    @searchwindowsize.setter
    def searchwindowsize(self, size: int | None) -> None:
        self._expecting.searchwindowsize = size

    async def wait_ended(self) -> int | None:
        """Wait until the program has ended and return its exit code, -N if signal N ended it.

        None if nobody saw it end: its host was killed with it. What it said can still be read.
        """
        await trio.lowlevel.checkpoint()
        while (ended := self._lasting.ended) is None:
            await self._lasting.wait()
        return ended.exit_code

    # What it looks like.

    async def screen(self) -> str:
        """Return what the terminal shows now, a line for each row, without blanks at their ends.

        `client.ask(ShowScreen(session=...))` tells more: the size, the cursor, the title.
        """
        return "\n".join((await self._ask(ShowScreen(session=self.id))).lines)

    async def history(self, lines: int | None = None) -> str:
        """Return the scrollback and the screen as text, or their last `lines` lines."""
        return await self._insist(lambda: self._client.history(self.id, lines=lines))

    async def resize(self, cols: int, rows: int) -> None:
        """Give the terminal another size, in cells, 1 to 1000 each, and keep it so.

        That is until another viewer types or chooses a size. Raises `BadRequest` for a size that
        cannot be. Cancelled, it may have happened or may still happen.
        """
        await self._ask(ResizeSession(session=self.id, cols=cols, rows=rows))
        self._lasting.claim_size(cols, rows)

    async def end(self) -> int | None:
        """End the program (SIGHUP, three seconds, SIGKILL) and return what `wait_ended` does.

        Cancelled, it ends all the same.
        """
        await self._ask(EndSession(session=self.id))
        return await self.wait_ended()

    @property
    def _expecting(self) -> Expecting:
        if self._expecting_or_none is None:
            from .expect import Expecting

            self._expecting_or_none = Expecting(self.name, self._lasting)
        return self._expecting_or_none

    async def _ask(self, operation: Operation[R]) -> R:
        return await self._insist(lambda: self._client.ask(operation))

    async def _insist(self, ask: Callable[[], Awaitable[R]]) -> R:
        """Ask what may be asked twice until there is an answer."""
        lost_at = trio.current_time()
        while True:
            try:
                return await ask()
            except Gone:
                if trio.current_time() - lost_at >= self._patience:
                    raise
            await trio.sleep(BETWEEN_TRIES)


def _control(key: str) -> bytes:
    upper = key.upper()
    if len(upper) == 1 and "@" <= upper <= "_":
        return bytes([ord(upper) - 64])
    if key == "?":
        return b"\x7f"
    raise BadRequest(f"there is no Ctrl-{key}; a letter it is, or one of @[\\]^_?")
