"""Reading a session, typing into it, and waiting for what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, TypeAlias

import msgspec
import trio

from loopsy_core.client import Viewing
from loopsy_core.errors import BadRequest, Busy, Gone
from loopsy_core.wire import ShowScreen
from loopsy_mcp.desk import telling
from loopsy_mcp.keys import bytes_of
from loopsy_mcp.pattern import Pattern
from loopsy_mcp.plain import PlainText, cut, plain
from loopsy_mcp.tool import PATIENCE, Group, MachineName, MostText, Said, Seconds, Tool

from .sessions import SessionName, find_session, how_it_is

if TYPE_CHECKING:
    from loopsy_core.client import SessionOutput
    from loopsy_core.wire import SessionInfo
    from loopsy_mcp.desk import Desk, Place
    from loopsy_mcp.tool import Json, Tell

__all__ = ["SessionRead", "SessionWait", "SessionWrite"]

MOST_TEXT: Final = 16_000
"""Characters that one call returns unless it is told otherwise."""
WINDOW: Final = 8192
"""Characters in which a match has to lie."""
QUIET: Final = 0.3
"""Seconds without output after which a program has reacted to what was typed."""
TYPING: Final = 10.0
"""Seconds that a program may take to read what is typed, and a lost connection to be made anew."""

Cursor: TypeAlias = Annotated[str, msgspec.Meta(max_length=64, description="A `cursor` you got")]


class SessionRead(Tool, frozen=True, kw_only=True):
    """Read a session: its screen now; with `after` the output since that cursor ("0": all); with
    `history` its last so many lines of scrollback and screen. Returns a cursor to read on from.
    Full-screen programs make sense only as a screen.
    """

    tool: ClassVar[str] = "loopsy_session_read"
    group: ClassVar[Group] = "session"
    reads_only: ClassVar[bool] = True

    session: SessionName
    peer: MachineName | None = None
    after: Cursor | None = None
    history: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None
    max_chars: MostText = MOST_TEXT

    async def run(self, desk: Desk, tell: Tell) -> Said:
        """Read it."""
        place = await desk.reach(self.peer)
        info = await find_session(place, self.session)
        state: dict[str, Json] = {"session": info.name, "alive": info.alive}
        state["exit_code"] = info.exit_code
        if self.after is not None:
            return await self._output(place, info, state)
        # The cursor first: what comes between the two is shown twice rather than never.
        async with place.client.output(info) as output:
            cursor = output.position
        if self.history is not None:
            text = await place.client.history(info.id, lines=self.history)
        else:
            screen = await place.client.ask(ShowScreen(session=info.id))
            text = "\n".join(screen.lines)
            state["cursor_row"], state["cursor_col"] = screen.cursor_y, screen.cursor_x
            state["title"], state["full_screen"] = screen.title, screen.alternate
        text = cut(text.rstrip("\n"), self.max_chars, "ask for fewer lines or more max_chars")
        word = f"[{info.name} {how_it_is(info)}; cursor={cursor}]"
        return Said(f"{text}\n{word}", {**state, "text": text, "cursor": cursor})

    async def _output(self, place: Place, info: SessionInfo, state: dict[str, Json]) -> Said:
        data = b""
        async with place.client.output(info, after=self.after) as output:
            while not output.caught_up and len(data) < self.max_chars:
                data += await output.receive()
            page = _page(data, self.max_chars)
            more = not output.caught_up or len(page) < len(data)
            cursor = output.position_before(len(data) - len(page))
            missed = _missed(output)
        text = missed + plain(page)
        word = f"[{info.name} {how_it_is(info)}; {'more follows; ' if more else ''}cursor={cursor}]"
        return Said(f"{text}\n{word}", {**state, "text": text, "more": more, "cursor": cursor})


class SessionWrite(Tool, frozen=True, kw_only=True):
    """Type into a session: `text` as it is, then `keys`, in which <Enter>, <Esc>, <Tab>, <Up>,
    <C-c>, <A-x> ... are keys (<lt> is "<"). Returns what the program says to it within `wait`, and
    a cursor from before typing, to wait or read from.
    """

    tool: ClassVar[str] = "loopsy_session_write"
    group: ClassVar[Group] = "session"

    session: SessionName
    text: Annotated[str, msgspec.Meta(max_length=100_000)] = ""
    keys: Annotated[str, msgspec.Meta(max_length=10_000)] = ""
    peer: MachineName | None = None
    wait: Annotated[float, msgspec.Meta(ge=0, le=60, description="Seconds")] = 1.0
    max_chars: MostText = MOST_TEXT

    async def run(self, desk: Desk, tell: Tell) -> Said:
        """Type it."""
        typed = self.text.encode("utf-8", "replace") + bytes_of(self.keys)
        if not typed:
            raise BadRequest("there is nothing to type: give `text`, `keys` or both")
        place = await desk.reach(self.peer)
        info = await find_session(place, self.session)
        if not info.alive:
            raise Gone(f"{info.name} {how_it_is(info)}; nobody reads what is typed there")
        async with place.client.output(info) as output:
            cursor = output.position
            await _type(place, info, typed)
            data = await _until_quiet(output, self.wait, self.max_chars)
        text = cut(plain(data), self.max_chars, f"read on with after={cursor}")
        said: dict[str, Json] = {"session": info.name, "text": text, "cursor": cursor}
        return Said(f"{text}\n[typed; from before: cursor={cursor}]", said)


class SessionWait(Tool, frozen=True, kw_only=True):
    """Wait until a session's output matches `pattern` (RE2 regex, ^$ match at lines), it has been
    quiet for `quiet` seconds, or its program ends (always ends the wait). Only output behind
    `after` counts; without it, what comes from now on. Returns why it ended, the match with its
    groups, what came, and a cursor behind the matched line for the next call.
    """

    tool: ClassVar[str] = "loopsy_session_wait"
    group: ClassVar[Group] = "session"
    reads_only: ClassVar[bool] = True

    session: SessionName
    pattern: str | None = None
    quiet: Annotated[float, msgspec.Meta(gt=0, le=600)] | None = None
    after: Cursor | None = None
    timeout: Seconds = PATIENCE
    peer: MachineName | None = None
    max_chars: MostText = MOST_TEXT

    async def run(self, desk: Desk, tell: Tell) -> Said:
        """Wait for it."""
        pattern = None if self.pattern is None else Pattern(self.pattern)
        place = await desk.reach(self.peer)
        info = await find_session(place, self.session)
        waiting = _Waiting(place, info, self.after, pattern, self.quiet)
        with trio.move_on_after(self.timeout):
            async with telling(tell, self.timeout, f"waiting for {info.name} on {place.name}"):
                await waiting.run()
        info = await find_session(place, info.id)
        where = "loopsy_session_read has it, with history or the same after"
        text = waiting.missed + cut(waiting.text.rstrip("\n"), self.max_chars, where)
        how = f"{waiting.why}; {info.name} {how_it_is(info)}; cursor={waiting.position}"
        data: dict[str, Json] = {
            "session": info.name,
            "why": waiting.why,
            "match": waiting.match,
            "groups": list(waiting.groups),
            "alive": info.alive,
            "exit_code": info.exit_code,
            "text": text,
            "cursor": waiting.position,
        }
        return Said(f"{text}\n[{how}]", data)


class _Waiting:
    """A wait for a session, over new connections where one is lost."""

    def __init__(
        self,
        place: Place,
        info: SessionInfo,
        after: str | None,
        pattern: Pattern | None,
        quiet: float | None,
    ) -> None:
        self._place = place
        self._info = info
        self._pattern = pattern
        self._quiet = quiet
        self._plain = PlainText()
        self._window = ""
        self.position = after
        self.text = ""
        """What came, the latest of it."""
        self.missed = ""
        self.why: Literal["matched", "ended", "quiet", "timeout"] = "timeout"
        self.match: str | None = None
        self.groups: tuple[str | None, ...] = ()

    async def run(self) -> None:
        """Wait until it is over, and note why."""
        lost_at = 0.0
        while True:
            try:
                async with self._place.client.output(self._info, after=self.position) as output:
                    lost_at = 0.0
                    return await self._listen(output)
            except Gone:
                lost_at = lost_at or trio.current_time()
                if trio.current_time() - lost_at > TYPING:
                    raise
            await trio.sleep(0.3)

    async def _listen(self, output: SessionOutput) -> None:
        self.position = output.position
        while True:
            with trio.move_on_after(self._quiet or float("inf")) as patience:
                data = await output.receive()
            if patience.cancelled_caught:
                self.why = "quiet"
                return
            self.position, self.missed = output.position, _missed(output)
            if self._finds(output, data):
                self.why = "matched"
                return
            if output.ended is not None:
                self.why = "ended"
                return

    def _finds(self, output: SessionOutput, data: bytes) -> bool:
        """Note `data`; if there is a match now, stand behind the line that it is in.

        What follows that line may be just what the agent waits for next.
        """
        before, window, text = self._plain.copy(), self._window, self.text
        if not self._take(self._plain.add(data)):
            return False
        self._plain, self._window, self.text = before, window, text
        left = len(data)
        for line in data.splitlines(keepends=True):
            left -= len(line)
            if self._take(self._plain.add(line)):
                break
        self.position = output.position_before(left)
        return True

    def _take(self, text: str) -> bool:
        """Note `text`, and say whether there is a match now."""
        self.text = (self.text + text)[-4 * WINDOW :]
        if self._pattern is None or not text:
            return False
        self._window = self._window[-WINDOW:] + text
        found = self._pattern.search(self._window)
        if found is None:
            return False
        self.match, self.groups = found.group(), found.groups()
        return True


def _page(data: bytes, most: int) -> bytes:
    """Return up to `most` bytes, whole lines if there are any."""
    if len(data) <= most:
        return data
    return data[: data.rfind(b"\n", 0, most) + 1] or data[:most]


def _missed(output: SessionOutput) -> str:
    if output.lost:
        return "[some output came before this and is not kept any more]\n"
    return f"[{output.missed} bytes before this are not kept]\n" if output.missed else ""


async def _type(place: Place, info: SessionInfo, typed: bytes) -> None:
    """Type it once, whatever happens to the connection."""
    viewing = Viewing(info.id, name="an agent")
    viewing.typed(typed)
    with trio.move_on_after(TYPING):
        while True:
            try:
                # With the size that it has, so that typing leaves it as it is.
                async with place.client.attach(viewing, cols=info.cols, rows=info.rows) as (
                    view,
                    _,
                ):
                    return await view.flush()
            except Gone:
                if not viewing.connections:
                    raise
            await trio.sleep(0.2)
    raise Busy(f"{info.name} has not read all that was typed within {TYPING:.0f} s: is it stuck?")


async def _until_quiet(output: SessionOutput, wait: float, most: int) -> bytes:
    """Return what comes until the program has reacted, or `wait` is over."""
    data = bytearray()
    with trio.move_on_after(wait):
        while len(data) < 4 * most:
            with trio.move_on_after(QUIET if data else wait) as patience:
                piece = await output.receive()
            if patience.cancelled_caught or not piece:
                break
            data += piece
    return bytes(data)
