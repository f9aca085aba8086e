"""Sessions by HTTP: listing, starting and ending programs on terminals."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from loopsy_core.errors import BadRequest
from loopsy_core.wire import ListSessions, RemoveSession, SessionInfo
from loopsy_core.wire.operation import Argument, Cells, Name, Text

from .camel import shown, twin
from .route import Call, NoBody, OnPeer, Route

__all__ = ["ROUTES"]

Session = twin(SessionInfo)


class Sessions(msgspec.Struct, frozen=True):
    """All sessions, the oldest first."""

    sessions: list[Session]  # type: ignore[valid-type]


class NewSession(msgspec.Struct, frozen=True, rename="camel"):
    """A program to start on a terminal of its own; without anything the login shell."""

    command: Argument | None = None
    """A program, run by no shell; not for agents, which bring their own."""
    args: Annotated[list[Argument], msgspec.Meta(max_length=4095)] = []
    kind: Annotated[str, msgspec.Meta(min_length=1, max_length=32)] | None = None
    """"shell", an agent's name, or "custom"."""
    custom_command: Name | None = None
    """The name of a custom command of that machine, instead of `command`."""
    name: Name | None = None
    cwd: Text | None = None
    """Without it the home directory."""
    env: dict[Text, Argument] = {}
    """Laid over the environment there."""
    cols: Cells = 80
    rows: Cells = 24
    auto_approve: bool = False
    """Have an agent ask nothing."""


async def sessions(call: Call[NoBody, OnPeer]) -> Sessions:
    """List sessions, the oldest first."""
    found = (await call.client.ask(ListSessions())).sessions
    return Sessions([shown(info) for info in found])


async def start(call: Call[NewSession, OnPeer]) -> msgspec.Struct:
    """Start a program on a terminal of its own."""
    new = call.body
    if new.args and new.command is None and new.kind in (None, "shell", "custom"):
        raise BadRequest("command: is missing, for there are args")
    argv = [*([] if new.command is None else [new.command]), *new.args]
    info = await call.client.start(
        argv or None,
        kind=new.kind,
        command=new.custom_command,
        auto_approve=new.auto_approve,
        name=new.name,
        cwd=new.cwd,
        env=new.env,
        cols=new.cols,
        rows=new.rows,
    )
    return shown(info)


async def end(call: Call[NoBody, OnPeer]) -> msgspec.Struct:
    """End a session if it runs, and forget it."""
    info = await call.client.end_session(call.name)
    await call.client.ask(RemoveSession(session=info.id))
    return shown(info)


ROUTES: Final = (
    Route("GET", "/sessions", sessions, "sessions", NoBody, OnPeer, Sessions),
    Route("POST", "/sessions", start, "sessions", NewSession, OnPeer, Session),
    Route("DELETE", "/sessions/{id}", end, "sessions", NoBody, OnPeer, Session),
)
