"""The daemon's life: `init`, `start`, `stop` and `restart`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from loopsy_core.errors import Busy, Gone, NoDaemon
from loopsy_core.home import Home, lock_file, prepare_home
from loopsy_core.wire import EndSession, Hello, ListSessions, NodeStatus, StopNode

from .ask import ask, ask_host, node_pid
from .options import Json, Option
from .show import clean, ending, flush, note, print_json, say

if TYPE_CHECKING:
    from loopsy_core.wire import SessionInfo

__all__ = [
    "end_sessions",
    "ensure_daemon",
    "init",
    "renew_daemon",
    "restart",
    "runs",
    "start",
    "stop",
    "stop_node",
]

LEAVING: Final = 20.0
"""Seconds in which a node that was asked to stop must be gone."""
_GLANCE: Final = 0.02
"""Seconds between two looks at its lock; the kernel tells nobody when a lock gets free."""


def init(*, json: Json = False) -> None:
    """Make what a home needs: the folder, its settings and this machine's key.

    What exists already is left as it is, so it does no harm to run this twice.
    """
    from loopsy_core.home import load_identity

    home = Home.find()
    made = prepare_home(home)
    if json:
        node_id = load_identity(home).id
        print_json({"home": _path(home.root), "made": [*map(_path, made)], "node_id": node_id})
    elif made:
        for path in made:
            say(f"made {_shown(path)}")
        say("`loopsy up` opens a shell in a browser; `loopsy start` starts the daemon alone")
    else:
        say(f"all is there already in {_shown(home.root)}; nothing was changed")


def start(
    *,
    lan: Annotated[bool, Option("Let paired machines on the network in.")] = False,
    foreground: Annotated[bool, Option("Stay here and log to this terminal.")] = False,
    json: Json = False,
) -> None:
    """Start the daemon, and return once it is ready.

    It makes the home if there is none. A daemon that runs already is left alone. Without --lan
    other machines cannot call this one; it calls them, and all goes over that connection.
    """
    home = Home.find()
    if foreground:
        prepare_home(home)
        _stay(home, lan=lan, as_json=json)
        return
    pid = ensure_daemon(home, lan=lan)
    if json:
        print_json(
            {"home": _path(home.root), "started": pid is not None, "pid": pid or node_pid(home)}
        )
    elif pid is None:
        say(f"the daemon of {_shown(home.root)} runs already")
        if lan and ask(NodeStatus(), home).port is None:
            say("it does not listen on the network; `loopsy restart --lan` makes it")
    else:
        say(f"the daemon runs (process {pid}); `loopsy shell` opens a session")
        _note_problems(home)


def stop(
    *,
    sessions: Annotated[bool, Option("End all sessions too.")] = False,
    json: Json = False,
) -> None:
    """Stop the daemon, and return once it is gone. Its sessions live on.

    With --sessions everything ends, also sessions that live on without a daemon.
    """
    home = Home.find()
    try:
        living = stop_node(home)
        stopped = True
    except NoDaemon:
        if not sessions:
            raise
        living = 0
        stopped = False
    ended = end_sessions(home) if sessions else []
    if json:
        left = 0 if sessions else living
        print_json({"stopped": stopped, "sessions": left, "ended": [info.id for info in ended]})
        return
    say("the daemon has stopped" if stopped else "no daemon runs")
    for info in ended:
        say(f"ended {clean(info.name)} ({ending(info.exit_code)})")
    if sessions and not ended:
        say("no session runs")
    elif living and not sessions:
        count = "1 session lives on" if living == 1 else f"{living} sessions live on"
        say(f"{count}; `loopsy start` finds them again, `loopsy stop --sessions` ends them")


def restart(
    *,
    lan: Annotated[bool, Option("Let paired machines on the network in from now on.")] = False,
    no_lan: Annotated[bool, Option("Let none in any more.")] = False,
    json: Json = False,
) -> None:
    """Stop the daemon and start it again; sessions and who looks at them do not notice.

    Without a daemon it is the same as start. Without --lan and --no-lan it listens as before.
    """
    home = Home.find()
    try:
        lan = lan or (not no_lan and ask(NodeStatus(), home).port is not None)
        pid, living = renew_daemon(home, lan=lan)
    except NoDaemon:
        note("no daemon ran")
        pid, living = ensure_daemon(home, lan=lan), 0
    if json:
        print_json({"home": _path(home.root), "pid": pid or node_pid(home), "sessions": living})
    else:
        say("the daemon runs again" + (f" (process {pid})" if pid else ""))
        _note_problems(home)


def _note_problems(home: Home) -> None:
    """Say of a daemon that has just started what it has to do without."""
    status = ask(NodeStatus(), home)
    if status.http_problem is not None:
        note(f"scripts cannot reach it by HTTP: {clean(status.http_problem)}")
    if status.sharing_problem is not None:
        note(f"there is no context, no messages and no tasks: {clean(status.sharing_problem)}")


def ensure_daemon(home: Home, *, lan: bool = False) -> int | None:
    """See that a daemon runs in `home`, making the home if need be; `lan` is for a new one.

    Returns its process id if it was started here, None if one ran already.
    """
    if runs(home):
        return None
    from loopsy_core.client import start_daemon

    from .looping import run

    prepare_home(home)
    try:
        return run(lambda: start_daemon(home, lan=lan))
    except Busy:
        if runs(home):  # somebody was faster
            return None
        raise


def renew_daemon(home: Home, *, lan: bool) -> tuple[int | None, int]:
    """Stop the daemon of `home`, start it again; return its process id, and how many sessions live.

    Raises `NoDaemon` when none runs.
    """
    living = stop_node(home)
    return ensure_daemon(home, lan=lan), living


def runs(home: Home) -> bool:
    """Whether a daemon answers in `home`."""
    try:
        ask(Hello(), home)
    except NoDaemon:
        return False
    return True


def stop_node(home: Home) -> int:
    """Have the node leave and wait until it has; return how many sessions live on."""
    living = ask(StopNode(), home).sessions
    deadline = time.monotonic() + LEAVING
    while time.monotonic() < deadline:
        try:
            with lock_file(home.node_lock):
                return living
        except Busy:
            time.sleep(_GLANCE)
    raise Gone(f"the daemon is asked to stop, but does not leave; {home.node_log} may say why")


def end_sessions(home: Home) -> list[SessionInfo]:
    """End all sessions of `home`, whether a node runs or not; return those that were alive."""
    listed = ask_host([ListSessions()], home)
    if listed is None:
        return []
    alive = [info for info in listed[0].sessions if info.alive]
    ended = ask_host([EndSession(session=info.id) for info in alive], home) or []
    ask_host([StopNode()], home)  # the host is of no use any more
    return ended


def _stay(home: Home, *, lan: bool, as_json: bool) -> None:
    import logging
    import signal

    import trio

    from loopsy_core import open_node

    from .looping import run, stop_on_signals

    async def main() -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with open_node(home, lan=lan) as node, trio.open_nursery() as nursery:
                pid = os.getpid()
                if as_json:
                    print_json({"home": _path(home.root), "started": True, "pid": pid})
                else:
                    say(f"the daemon runs (process {pid}); Ctrl-C stops it")
                flush()
                nursery.start_soon(stop_on_signals, node.stop_soon, signals)
                await node.wait_stopped()
                nursery.cancel_scope.cancel()

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    run(main)


def _path(path: Path) -> str:
    return os.fsencode(path).decode("utf-8", "replace")


def _shown(path: Path) -> str:
    return clean(_path(path))
