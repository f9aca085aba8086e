"""`loopsy pair`: two machines come to trust each other, by a code and a comparison."""

from __future__ import annotations

import os
import re
import sys
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from loopsy_core.errors import BadRequest, LoopsyError, Refused
from loopsy_core.home import Home, parse_duration
from loopsy_core.wire import (
    Comparing,
    Confirm,
    Invited,
    InvitePeer,
    JoinPeer,
    NodeStatus,
    decode_pairing,
    read_reply,
)

from .ask import ask
from .daemon import ensure_daemon, renew_daemon, runs
from .options import Json, MachinePreset, Option
from .show import clean, flush, note, print_json, say, span

if TYPE_CHECKING:
    from collections.abc import Generator

    from loopsy_core.client import Call, Client
    from loopsy_core.wire import Item, PeerInfo

__all__ = ["pair"]

CODE_DIGITS: Final = 6


def pair(
    host: Annotated[str | None, Option("The machine that invites: HOST or HOST:PORT.")] = None,
    /,
    *,
    grant: Annotated[MachinePreset, Option("What it may do here.")] = "machine",
    expires: Annotated[
        str | None,
        Option("When it is forgotten again, such as 30d; never if not given.", "TIME"),
    ] = None,
    json: Json = False,
) -> None:
    """Pair this machine with another: each may then run commands and open terminals on the other.

    On the one machine run loopsy pair: it shows a code. On the other run loopsy pair HOST and type
    the code. Then both show a number: if it is the same on both, say yes on both.
    """
    import time

    from .looping import run

    lifetime = None if expires is None else time.time() + parse_duration(expires)
    if not sys.stdin.isatty():
        raise BadRequest("`loopsy pair` asks you to compare numbers; run it in a terminal")
    home = Home.find()
    with _own_line():
        if host is None:
            _let_machines_in(home)
            invite = InvitePeer(preset=grant, expires=lifetime)
            paired = run(lambda: _pair(home, invite))
        else:
            if ensure_daemon(home) is not None:
                note("The daemon runs now.")
            note(f"Run `loopsy pair` on {clean(host)}; it shows a code.")
            paired = _join(home, JoinPeer(address=host, code="", preset=grant, expires=lifetime))
    if json:
        print_json(paired)
    else:
        name = clean(paired.name)
        say(f"paired with {name}; try: loopsy exec {name} -- uname -a")


@contextmanager
def _own_line() -> Generator[None]:
    """End the line of a question that Ctrl-C answers."""
    try:
        yield
    except KeyboardInterrupt:
        note("")
        raise


def _let_machines_in(home: Home) -> None:
    """See that others can call this machine, which is for its user to decide."""
    if not runs(home):
        if not _agree("The daemon does not run. Start it, open to machines on your network?"):
            raise Refused("nobody can come in then; `loopsy pair HOST` calls the other machine")
        ensure_daemon(home, lan=True)
    elif ask(NodeStatus(), home).port is None:
        note("The daemon lets no machine in. Sessions outlive its restart; `loopsy up` does not.")
        if not _agree("Restart it, open to machines on your network?"):
            raise Refused("nobody can come in then; `loopsy pair HOST` calls the other machine")
        renew_daemon(home, lan=True)


def _agree(question: str) -> bool:
    while True:
        sys.stderr.write(f"{question} [Y/n] ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            note("")
            return False
        word = line.strip().lower()
        if word in ("", "y", "yes"):
            return True
        if word in ("n", "no"):
            return False


def _ask_code() -> str:
    while True:
        sys.stderr.write("The code: ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            note("")
            raise Refused("no code, no pairing")
        code = re.sub(r"[\s-]", "", line)
        if re.fullmatch(rf"[0-9]{{{CODE_DIGITS}}}", code):
            return code
        note(f"the code has {CODE_DIGITS} digits")


def _join(home: Home, request: JoinPeer) -> PeerInfo:
    """Ask for the code until it is the right one."""
    from .looping import run

    while True:
        with_code = msgspec.structs.replace(request, code=_ask_code())
        try:
            return run(partial(_pair, home, with_code))
        except Refused as error:
            if error.details.get("reason") != "code":
                raise
            note(clean(str(error)))


async def _pair(home: Home, request: InvitePeer | JoinPeer) -> PeerInfo:
    from loopsy_core.client import open_client

    async with open_client(home) as client:
        return await _talk(client, request)


async def _talk(client: Client, request: InvitePeer | JoinPeer) -> PeerInfo:
    invited: Invited | None = None
    comparing: Comparing | None = None
    async with client.open_call(request) as call:
        piece = await call.receive()
        while piece is not None:
            item = _read(piece)
            if isinstance(item, Comparing):
                comparing = item
                piece = await _compare(call, item)
                continue
            if invited is None:
                _show_invitation(item)
            elif comparing is not None:
                note(f"{clean(comparing.name)} was lost; the code still stands.")
            elif item.tries_left < invited.tries_left:
                tries = "1 try is" if item.tries_left == 1 else f"{item.tries_left} tries are"
                note(f"Somebody came with a wrong code, or went again: {tries} left.")
            invited, comparing = item, None
            piece = await call.receive()
        return read_reply(request, await call.answer())


def _read(piece: bytes | Item) -> Invited | Comparing:
    if isinstance(piece, bytes):
        raise BadRequest("the daemon says what only a newer version understands")
    return decode_pairing(piece.value)


def _show_invitation(invited: Invited) -> None:
    import time

    note(f"The code is {invited.code[:3]} {invited.code[3:]}.")
    several = "this" if len(invited.addresses) == 1 else "one of these"
    note(f"On the other machine run {several}, and type it there:")
    for address in invited.addresses:
        note(f"    loopsy pair {clean(address)}")
    note(f"It stands {span(invited.expires_at - time.time() + 1)}. Ctrl-C takes it back.")
    flush()


async def _compare(call: Call, item: Comparing) -> bytes | Item | None:
    """Have the user compare; return what the daemon says next, be it before they answer."""
    import trio

    note(f"{clean(item.name)} is here. Both machines show a number; this one shows")
    note(f"\n    {item.number[:3]} {item.number[3:]}\n")
    answered = False

    async def confirm() -> None:
        nonlocal answered
        await _confirm(call)
        answered = True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(confirm)
        try:
            piece = await call.receive()
        except LoopsyError:
            _end_question(answered)
            raise
        _end_question(answered)
        nursery.cancel_scope.cancel()
    return piece


def _end_question(answered: bool) -> None:
    if not answered:
        note("")


async def _confirm(call: Call) -> None:
    import termios

    termios.tcflush(0, termios.TCIFLUSH)  # what was typed before is no answer to this
    while True:
        sys.stderr.write("Is it the same there? [y/n] ")
        sys.stderr.flush()
        line = await _read_line()
        word = line.strip().lower()
        if word in ("y", "yes"):
            await call.send_item(Confirm(same=True))
            note("waiting for the user there to say the same")
            return
        if not line:  # the terminal is gone, and that is no word about the numbers
            raise Refused("nobody has said whether the numbers are the same")
        if word in ("n", "no"):
            await call.send_item(Confirm(same=False))
            return


async def _read_line() -> str:
    """Read a line of the terminal, without a thread that would wait for it when nobody does."""
    import trio

    line = b""
    while not line.endswith(b"\n"):
        await trio.lowlevel.wait_readable(0)
        if not (piece := os.read(0, 1024)):
            break
        line += piece
    return line.decode("utf-8", "replace")
