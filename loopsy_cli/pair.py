"""`loopsy pair`: two machines come to trust each other, by a code and a comparison."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Annotated, Final

from loopsy_core.errors import BadRequest, Refused
from loopsy_core.home import Home, parse_duration
from loopsy_core.wire import (
    Comparing,
    Confirm,
    Invited,
    InvitePeer,
    JoinPeer,
    decode_pairing,
    read_reply,
)

from .options import Json, MachinePreset, Option
from .show import clean, flush, note, print_json, say, span

if TYPE_CHECKING:
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
    if host is None:
        request: InvitePeer | JoinPeer = InvitePeer(preset=grant, expires=lifetime)
    else:
        code = _ask_code(host)
        request = JoinPeer(address=host, code=code, preset=grant, expires=lifetime)
    paired = run(lambda: _pair(Home.find(), request))
    if json:
        print_json(paired)
    else:
        name = clean(paired.name)
        say(f"paired with {name}; try: loopsy exec {name} -- uname -a")


def _ask_code(host: str) -> str:
    note(f"Run `loopsy pair` on {clean(host)}; it shows a code.")
    while True:
        sys.stderr.write("The code: ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            raise Refused("no code, no pairing")
        code = re.sub(r"[\s-]", "", line)
        if re.fullmatch(rf"[0-9]{{{CODE_DIGITS}}}", code):
            return code
        note(f"the code has {CODE_DIGITS} digits")


async def _pair(home: Home, request: InvitePeer | JoinPeer) -> PeerInfo:
    from loopsy_core.client import open_client

    async with open_client(home) as client:
        return await _talk(client, request)


async def _talk(client: Client, request: InvitePeer | JoinPeer) -> PeerInfo:
    invited_before = False
    async with client.open_call(request) as call:
        piece = await call.receive()
        while piece is not None:
            item = _read(piece)
            if isinstance(item, Invited):
                if invited_before:
                    note("the other machine was lost; the code still stands")
                else:
                    _show_invitation(item)
                invited_before = True
                piece = await call.receive()
            else:
                piece = await _compare(call, item)
        return read_reply(request, await call.answer())


def _read(piece: bytes | Item) -> Invited | Comparing:
    if isinstance(piece, bytes):
        raise BadRequest("the daemon says what only a newer version understands")
    return decode_pairing(piece.value)


def _show_invitation(invited: Invited) -> None:
    import time

    note(f"The code is {invited.code[:3]} {invited.code[3:]}.")
    if invited.addresses:
        note("On the other machine run one of these, and type it there:")
        for address in invited.addresses:
            note(f"    loopsy pair {clean(address)}")
    else:
        note("This machine listens to nobody: run `loopsy restart --lan` first, or pair from here.")
    note(f"It stands {span(invited.expires_at - time.time() + 1)}. Ctrl-C takes it back.")
    flush()


async def _compare(call: Call, item: Comparing) -> bytes | Item | None:
    """Have the user compare; return what the daemon says next, be it before they answer."""
    import trio

    note(f"{clean(item.name)} is here. Both machines show a number; this one shows")
    note(f"\n    {item.number[:3]} {item.number[3:]}\n")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_confirm, call)
        piece = await call.receive()
        nursery.cancel_scope.cancel()
    return piece


async def _confirm(call: Call) -> None:
    while True:
        sys.stderr.write("Is it the same there? [y/n] ")
        sys.stderr.flush()
        line = await _read_line()
        word = line.strip().lower()
        if word in ("y", "yes"):
            await call.send_item(Confirm(same=True))
            note("waiting for the user there to say the same")
            return
        if not line or word in ("n", "no"):
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
