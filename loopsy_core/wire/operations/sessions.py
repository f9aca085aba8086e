"""What is asked about sessions. Sizes of terminals are in cells."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ..operation import MAX_NAME, Argument, Cells, Name, Offset, Operation, Reference, Text
from .node import Nothing

__all__ = [
    "AttachReply",
    "AttachSession",
    "EndSession",
    "HistoryReply",
    "ListSessions",
    "RemoveSession",
    "RenameSession",
    "ResizeSession",
    "ScreenReply",
    "SessionInfo",
    "SessionList",
    "ShowHistory",
    "ShowScreen",
    "StartSession",
    "WatchSessions",
]


class SessionInfo(msgspec.Struct, frozen=True):
    """A session as others see it."""

    id: str
    name: str
    kind: str
    alive: bool
    created_at: float
    cols: int
    rows: int
    viewers: int
    title: str
    exit_code: int | None
    """None while alive; -N if signal N ended it."""
    argv: list[str]
    cwd: str
    # What came later has defaults, for hosts of an older version do not say it.
    lost: str | None = None
    """Why its end was not seen, for a person: its host had ended first, say."""
    auto_approve: bool = False
    """Whether its agent was told to approve by itself."""
    ended_at: float | None = None


class SessionList(msgspec.Struct, frozen=True):
    """All sessions, the oldest first."""

    sessions: list[SessionInfo]


class ListSessions(Operation[SessionList], frozen=True, kw_only=True):
    """Ask for all sessions."""

    op = "sessions.list"
    grant = "view"
    reply = SessionList


class WatchSessions(Operation[Nothing], frozen=True, kw_only=True):
    """Stream a `SessionList` now and after each change, as Items, until dropped."""

    op = "sessions.watch"
    grant = "view"
    reply = Nothing


class StartSession(Operation[SessionInfo], frozen=True, kw_only=True):
    """Start a program on a terminal of its own.

    `kind` is "shell", an agent's name (`kinds.list`) or "custom". A shell without `argv` is the
    user's login shell; for an agent, `argv` is what follows its program; a custom session runs
    `argv`, or the custom command that `command` names. `cwd` may begin with `~`; without it the
    session starts in the home directory. `env` is laid over the host's environment.

    With `auto_approve` an agent is told to ask nothing. The first time that a contact asks for
    it, the answer waits for this machine's user to confirm.
    """

    op = "sessions.start"
    grant = "type"
    reply = SessionInfo

    argv: Annotated[list[Argument], msgspec.Meta(min_length=1, max_length=4096)] | None = None
    kind: Annotated[str, msgspec.Meta(min_length=1, max_length=32)] = "shell"
    name: Name | None = None
    cwd: Text | None = None
    env: dict[Text, Argument] = msgspec.field(default_factory=dict)
    cols: Cells = 80
    rows: Cells = 24
    command: Name | None = None
    auto_approve: bool = False


class ResizeSession(Operation[SessionInfo], frozen=True, kw_only=True):
    """Give a session's terminal another size."""

    op = "sessions.resize"
    grant = "type"
    reply = SessionInfo
    about = "session"

    session: Reference
    cols: Cells
    rows: Cells


class RenameSession(Operation[SessionInfo], frozen=True, kw_only=True):
    """Give a session another name."""

    op = "sessions.rename"
    grant = "type"
    reply = SessionInfo
    about = "session"

    session: Reference
    name: Name


class EndSession(Operation[SessionInfo], frozen=True, kw_only=True):
    """End a session's program: SIGHUP, some patience, SIGKILL; answered once it is gone."""

    op = "sessions.end"
    grant = "type"
    reply = SessionInfo
    about = "session"

    session: Reference


class RemoveSession(Operation[Nothing], frozen=True, kw_only=True):
    """Forget a session that has ended."""

    op = "sessions.remove"
    grant = "type"
    reply = Nothing
    about = "session"

    session: Reference


class ScreenReply(msgspec.Struct, frozen=True):
    """What a session shows."""

    lines: list[str]
    """The rows from top to bottom, without blanks at their ends."""
    cols: int
    rows: int
    cursor_x: int
    """The cursor's column; 0 is the leftmost."""
    cursor_y: int
    """The cursor's row; 0 is the topmost."""
    title: str
    alternate: bool
    """Whether this is the alternate screen, as full-screen programs use it."""


class ShowScreen(Operation[ScreenReply], frozen=True, kw_only=True):
    """Ask what a session shows, as text."""

    op = "sessions.screen"
    grant = "view"
    reply = ScreenReply
    about = "session"

    session: Reference


class HistoryReply(msgspec.Struct, frozen=True):
    """All that was asked for has been sent."""

    lines: int
    """How many lines that were, the visible ones included."""


class ShowHistory(Operation[HistoryReply], frozen=True, kw_only=True):
    """Stream a session's scrollback and screen as Data, in UTF-8, a newline behind each line.

    With `ansi` the text keeps its styles; `lines` asks for the last so many only.
    """

    op = "sessions.history"
    grant = "view"
    reply = HistoryReply
    about = "session"

    session: Reference
    ansi: bool = False
    lines: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None


class AttachReply(msgspec.Struct, frozen=True):
    """The session has ended."""

    exit_code: int | None


class AttachSession(Operation[AttachReply], frozen=True, kw_only=True):
    """Show a session and type into it; see PROTOCOL.md section 5 for the stream."""

    op = "sessions.attach"
    grant = "view"
    reply = AttachReply
    about = "session"

    session: Reference
    viewer: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
    cols: Cells
    rows: Cells
    view_only: bool = False
    answers: bool = False
    epoch: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    offset: Offset | None = None
    typed: Offset = 0
    name: Annotated[str, msgspec.Meta(max_length=MAX_NAME)] = ""
    """Who looks, for the other viewers; a node says here whom it knows the asker to be."""
    resizes: Offset | None = None
    """How many size changes the viewer was shown, beside the output before `offset`."""
    all_output: bool = False
    """Whether this viewer reads the output rather than showing it, and wants every byte of it."""
