"""Sessions from the command line: `shell`, `list`, `attach`, `kill`, `rename` and `remove`."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from loopsy_core.errors import BadRequest, LoopsyError, NotFound
from loopsy_core.home import Home
from loopsy_core.wire import (
    Ended,
    EndSession,
    ListPeers,
    ListSessions,
    RemoveSession,
    RenameSession,
    SessionInfo,
    ShowHistory,
    StartSession,
)

from .ask import ask, ask_machines
from .options import Json, Option, Peer
from .reaching import Place, place_of
from .show import age, clean, dim, ending, note, print_json, say, table, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .following import Outcome
    from .tty import Terminal

__all__ = ["attach", "history", "kill", "list_sessions", "remove", "rename", "shell"]

MOST_LINES: Final = 1_000_000
MOST_NAMED: Final = 5
"""Sessions that are named where several could be meant."""


def shell(
    *command: str,
    cwd: Annotated[str | None, Option("Start in this folder instead of this one.", "DIR")] = None,
    name: Annotated[str | None, Option("What to call the session.")] = None,
    agent: Annotated[str | None, Option("Start claude, codex, gemini or opencode.")] = None,
    custom: Annotated[str | None, Option("Start a custom command.", "NAME")] = None,
    auto_approve: Annotated[bool, Option("Have the agent approve by itself.")] = False,
    peer: Peer = None,
) -> int:
    """Start a session and show it in this terminal: your login shell, or the command after --.

    With --agent, what follows -- goes to the agent; with --auto-approve it is told to ask nobody.
    With --peer it runs on another machine, there in the home folder unless --cwd says another.
    It outlives this terminal: Ctrl-A D detaches, and loopsy attach shows it again, as does a
    paired phone at the same time. If no daemon runs, one is started.

    The exit code is the program's own (128 + N if signal N ended it), 0 after detaching.
    """
    from .daemon import ensure_daemon
    from .surroundings import folder, surroundings
    from .tty import open_terminal

    home = Home.find()
    with open_terminal("loopsy shell") as terminal:
        cols, rows = terminal.size
        request = StartSession(
            argv=list(command) or None,
            kind=agent or ("custom" if command or custom else "shell"),
            command=custom,
            auto_approve=auto_approve,
            name=name,
            cwd=folder(cwd) if peer is None else cwd,
            env=surroundings() if peer is None else {},
            cols=cols,
            rows=rows,
        )
        if ensure_daemon(home) is not None:
            note(f"started the daemon of {clean(str(home.root))}; `loopsy stop` ends it")
        session = ask(request, home, to=peer)
        return _exit_code(_show(home, session, terminal, machine=peer, view_only=False))


def attach(
    session: str,
    /,
    *,
    view: Annotated[bool, Option("Only look: nothing that is typed gets there.")] = False,
) -> int:
    """Show a session in this terminal, by its id (or the beginning of it) or name.

    On another machine it is PEER:NAME. Its screen comes back as it was. Ctrl-A D detaches, Ctrl-A
    Ctrl-A sends one Ctrl-A, Ctrl-A S gives the session the size of this terminal, and Ctrl-A ?
    shows these keys.
    """
    from .tty import open_terminal

    home = Home.find()
    with open_terminal("loopsy attach") as terminal:
        machine, reference = place_of(session, home)
        found = find_session(ask(ListSessions(), home, to=machine).sessions, reference)
        if os.environ.get("LOOPSY_SESSION") == found.id:
            raise BadRequest(f"this terminal is the session {found.name!r}; it cannot show itself")
        outcome = _show(home, found, terminal, machine=machine, view_only=view)
    # How the program ended is shown, but is not how we did: it may have ended days ago.
    return 0 if isinstance(outcome, Ended) else _exit_code(outcome)


def list_sessions(
    *,
    local: Annotated[bool, Option("Only those of this machine.")] = False,
    json: Json = False,
) -> None:
    """List all sessions, here and on every machine that is reached, the oldest first.

    A session that has ended stays, with its last screen, until it is removed. What stands under
    NAME is what attach, kill and the others take.
    """
    home = Home.find()
    known = [] if local else ask(ListPeers(), home).peers
    peers = [peer for peer in known if peer.way]
    machines = [None, *(peer.name for peer in peers)]
    here, *there = ask_machines(ListSessions(), machines, home)
    if isinstance(here, LoopsyError):
        raise here
    found: list[tuple[str | None, SessionInfo]] = [(None, each) for each in here.sessions]
    silent: list[str] = []
    for peer, listed in zip(peers, there, strict=True):
        if isinstance(listed, LoopsyError):
            silent.append(f"{clean(peer.name)}: {clean(str(listed))}")
        else:
            found += [(peer.name, session) for session in listed.sessions]
    if json:
        print_json([{"machine": name, **msgspec.structs.asdict(each)} for name, each in found])
    elif not found:
        say("no session runs; `loopsy shell` starts one")
    else:
        table(
            ("NAME", "ID", "STATE", "AGE", "SIZE", "VIEWERS", "COMMAND"),
            [_row(name, session) for name, session in found],
            faint=[not session.alive for _, session in found],
        )
        lost = dict.fromkeys(session.lost for _, session in found if session.lost)
        for reason in lost:
            say(dim(f"lost: {clean(reason)}"))
    for line in silent:
        note(line)
    if away := ", ".join(clean(peer.name) for peer in known if not peer.way):
        note(f"away, so not asked: {away}; `loopsy doctor` says why")


def kill(session: str, /, *, json: Json = False) -> None:
    """End a session's program: it is told to hang up, and killed if it does not."""
    asked_at = time.time()
    machine, reference = place_of(session, Home.find())
    ended = ask(EndSession(session=reference), to=machine)
    if json:
        print_json(ended)
    else:
        already = ended.ended_at is not None and ended.ended_at < asked_at
        say(f"{clean(ended.name)} {'had already' if already else 'has'} ended ({_end(ended)})")


def history(
    session: str,
    /,
    *,
    ansi: Annotated[bool, Option("Keep colours and styles.")] = False,
    lines: Annotated[int | None, Option("Only the last so many lines.")] = None,
    json: Json = False,
) -> None:
    """Print what a session has shown: its scrollback, and what is on its screen now.

    It is plain text, also of a session that has ended.
    """
    if lines is not None and not 1 <= lines <= MOST_LINES:
        raise BadRequest(f"--lines is a number from 1 to {MOST_LINES}")
    machine, reference = place_of(session, Home.find())
    request = ShowHistory(session=reference, ansi=ansi, lines=lines)
    if json:
        pieces: list[bytes] = []
        ask(request, to=machine, on_data=pieces.append)
        text = b"".join(pieces).decode("utf-8", "replace")
        print_json({"session": session, "lines": text.removesuffix("\n").split("\n")})
    else:
        ask(request, to=machine, on_data=write)


def rename(session: str, name: str, /, *, json: Json = False) -> None:
    """Give a session another name."""
    machine, reference = place_of(session, Home.find())
    renamed = ask(RenameSession(session=reference, name=name), to=machine)
    if json:
        print_json(renamed)
    else:
        say(f"session {clean(renamed.id)} is now named {clean(renamed.name)}")


def remove(
    *sessions: str,
    ended: Annotated[bool, Option("All that have ended.")] = False,
    json: Json = False,
) -> None:
    """Forget sessions that have ended, with their last screens."""
    if not sessions and not ended:
        raise BadRequest("which sessions? name them, or say --ended for all that have ended")
    removed = list(sessions)
    if ended:
        removed += [info.id for info in ask(ListSessions()).sessions if not info.alive]
    for session in removed:
        machine, reference = place_of(session, Home.find())
        ask(RemoveSession(session=reference), to=machine)
        if not json:
            say(f"{clean(session)} is removed")
    if json:
        print_json({"removed": removed})
    elif not removed:
        say("no session has ended")


def find_session(sessions: Sequence[SessionInfo], reference: str) -> SessionInfo:
    """Return the session with this id, name, or unique beginning of an id, as a host would.

    Raises `NotFound`, or `BadRequest` when several could be meant.
    """
    found = (
        [session for session in sessions if session.id == reference]
        or [session for session in sessions if session.name == reference]
        or [session for session in sessions if reference and session.id.startswith(reference)]
    )
    if not found:
        raise NotFound(f"there is no session {reference!r}; `loopsy list` shows them")
    if len(found) > 1:
        known = ", ".join(f"{session.id} ({session.name})" for session in found[:MOST_NAMED])
        raise BadRequest(f"{reference!r} may mean several sessions: {known}")
    return found[0]


def _row(machine: str | None, session: SessionInfo) -> tuple[str, ...]:
    command = shlex.join([Path(session.argv[0]).name, *session.argv[1:]])
    return (
        str(Place(machine, session.name)),
        session.id,
        "running" if session.alive else "lost" if session.lost else _end(session),
        age(session.created_at),
        f"{session.cols}x{session.rows}",
        str(session.viewers),
        session.title or command,
    )


def _end(session: SessionInfo) -> str:
    """Return how a session ended."""
    return f"lost: {clean(session.lost)}" if session.lost else ending(session.exit_code)


def _show(
    home: Home,
    session: SessionInfo,
    terminal: Terminal,
    *,
    machine: str | None,
    view_only: bool,
) -> Outcome:
    """Show a session, give the terminal back clean, and say how it went."""
    from .following import Lost, follow
    from .looping import run

    name = clean(str(Place(machine, session.name)))
    again = f"loopsy attach {shlex.quote(name)}"
    with terminal.raw(f"[{name} could not be shown any longer; {again}]"):
        outcome = run(lambda: follow(home, session, terminal, machine=machine, view_only=view_only))
    match outcome:
        case Ended(exit_code=None):
            shown = f"loopsy history {shlex.quote(name)} prints what it showed"
            note(f"[{name} is lost{_reason(home, machine, session)}; {shown}]")
        case Ended():
            note(f"[{name} ended with {ending(outcome.exit_code)}]")
        case Lost():
            note(f"[lost {name}: {clean(outcome.why)}; {again}]")
        case _:
            note(f"[detached from {name}; {again}]")
    return outcome


def _reason(home: Home, machine: str | None, session: SessionInfo) -> str:
    """Return why nobody saw a session end, as far as its node can tell."""
    try:
        known = {info.id: info for info in ask(ListSessions(), home, to=machine).sessions}
    except LoopsyError:
        return ""
    info = known.get(session.id)
    return f": {clean(info.lost)}" if info is not None and info.lost else ""


def _exit_code(outcome: Outcome) -> int:
    from .following import Detached, Signalled

    match outcome:
        case Detached():
            return 0
        case Ended(exit_code=int(code)):
            return code if code >= 0 else 128 - code
        case Signalled():
            return 128 + outcome.number
        case _:
            return 1
