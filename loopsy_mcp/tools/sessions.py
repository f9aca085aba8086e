"""Sessions: programs on terminals of their own, that outlive whoever started them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, TypeAlias

import msgspec

from loopsy_core.client import BEGINNING
from loopsy_core.errors import BadRequest, NotFound
from loopsy_core.wire import RemoveSession
from loopsy_mcp.tool import Group, MachineName, Said, Tool

from .execute import Command, argv_of

if TYPE_CHECKING:
    from loopsy_core.wire import SessionInfo
    from loopsy_mcp.desk import Desk, Place
    from loopsy_mcp.tool import Json, Tell

__all__ = [
    "SessionList",
    "SessionName",
    "SessionRemove",
    "SessionStart",
    "SessionStop",
    "find_session",
    "how_it_is",
]

SessionName: TypeAlias = Annotated[
    str, msgspec.Meta(min_length=1, max_length=64, description="Name or id")
]
Size: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class SessionStart(Tool, frozen=True, kw_only=True):
    """Start a program or an AI agent on a terminal of its own (a session) on any machine. It
    lives on after this conversation; the user can attach to it. With neither `command` nor `agent`
    it is a shell. Then: loopsy_session_wait, _read, _write.
    """

    tool: ClassVar[str] = "loopsy_session_start"
    group: ClassVar[Group] = "session"

    command: Command | None = None
    agent: (
        Annotated[str, msgspec.Meta(max_length=32, description="claude, codex, gemini or opencode")]
        | None
    ) = None
    args: (
        Annotated[
            list[str], msgspec.Meta(description='Such as its prompt (opencode: after "--prompt")')
        ]
        | None
    ) = None
    auto_approve: Annotated[
        bool, msgspec.Meta(description="It asks for no approval; a peer must allow that")
    ] = False
    name: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    peer: MachineName | None = None
    cwd: str | None = None
    env: dict[str, str] | None = None
    cols: Size = 120
    rows: Size = 40

    async def run(self, desk: Desk, tell: Tell) -> Said:
        """Start it."""
        if self.agent is not None and self.command is not None:
            raise BadRequest("`command` and `agent` exclude each other; an agent takes `args`")
        if self.agent is None and (self.args or self.auto_approve):
            raise BadRequest("`args` and `auto_approve` are an agent's; put it all into `command`")
        place = await desk.reach(self.peer)
        argv = self.args if self.command is None else argv_of(self.command)
        info = await place.client.start(
            argv,
            kind=self.agent,
            auto_approve=self.auto_approve,
            name=self.name,
            cwd=self.cwd,
            env=self.env,
            cols=self.cols,
            rows=self.rows,
        )
        text = f"session {info.name} runs on {place.name}; its output begins at after={BEGINNING}"
        return Said(text, {**_data(info, place), "cursor": BEGINNING})


class SessionList(Tool, frozen=True, kw_only=True):
    """List the sessions of a machine, ended ones too (they keep their last screen)."""

    tool: ClassVar[str] = "loopsy_session_list"
    group: ClassVar[Group] = "session"
    reads_only: ClassVar[bool] = True

    peer: MachineName | None = None

    async def run(self, desk: Desk, tell: Tell) -> Said:
        """List them."""
        place = await desk.reach(self.peer)
        sessions = await place.client.sessions()
        lines = [f"{info.name} ({info.kind}): {how_it_is(info)}" for info in sessions]
        data: Json = [_data(info, place) for info in sessions]
        text = "\n".join(lines) or f"there are no sessions on {place.name}"
        return Said(text, {"machine": place.name, "sessions": data})


class SessionStop(Tool, frozen=True, kw_only=True):
    """End a session's program (SIGHUP, then SIGKILL); its last screen stays readable."""

    tool: ClassVar[str] = "loopsy_session_stop"
    group: ClassVar[Group] = "session"

    session: SessionName
    peer: MachineName | None = None

    async def run(self, desk: Desk, tell: Tell) -> Said:
        """End it; one that has ended already is no error."""
        place = await desk.reach(self.peer)
        info = await find_session(place, self.session)
        if info.alive:
            info = await place.client.end_session(info.id)
        return Said(f"{info.name}: {how_it_is(info)}", _data(info, place))


class SessionRemove(Tool, frozen=True, kw_only=True):
    """Forget a session that has ended (loopsy_session_stop ends one), with its last screen."""

    tool: ClassVar[str] = "loopsy_session_remove"
    group: ClassVar[Group] = "session"

    session: SessionName
    peer: MachineName | None = None

    async def run(self, desk: Desk, tell: Tell) -> Said:
        """Forget it."""
        place = await desk.reach(self.peer)
        info = await find_session(place, self.session)
        if info.alive:
            raise BadRequest(f"{info.name} still runs; loopsy_session_stop ends it first")
        await place.client.ask(RemoveSession(session=info.id))
        return Said(f"{info.name} is forgotten", {"removed": info.name})


async def find_session(place: Place, wanted: str) -> SessionInfo:
    """Return the session that is meant; raises `NotFound` with the names there are."""
    sessions = await place.client.sessions()
    found = (
        [info for info in sessions if info.id == wanted]
        or [info for info in sessions if info.name == wanted]
        or [info for info in sessions if info.id.startswith(wanted)]
    )
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(info.id for info in found[:5])
        raise BadRequest(f"{wanted!r} may mean several sessions: {ids}")
    names = ", ".join(info.name for info in sessions[-20:]) or "none"
    raise NotFound(f"there is no session {wanted!r} on {place.name}; there are: {names}")


def how_it_is(info: SessionInfo) -> str:
    """Say whether a session runs, or how it ended."""
    if info.alive:
        return f"runs{f', titled {info.title!r}' if info.title else ''}"
    if info.lost is not None:
        return f"was lost: {info.lost}"
    code = info.exit_code
    return (
        f"ended by signal {-code}" if code is not None and code < 0 else f"ended, exit code {code}"
    )


def _data(info: SessionInfo, place: Place) -> dict[str, Json]:
    return {
        "session": info.name,
        "id": info.id,
        "machine": place.name,
        "kind": info.kind,
        "alive": info.alive,
        "exit_code": info.exit_code,
        "lost": info.lost,
        "title": info.title,
        "argv": list(info.argv),
        "cwd": info.cwd,
        "cols": info.cols,
        "rows": info.rows,
    }
