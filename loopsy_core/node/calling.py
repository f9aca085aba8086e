"""Calling a machine wherever it may be: the first place where its key answers is the right one.

Each place gets a moment before the next is called as well (RFC 8305, "Happy Eyeballs"), so that
a place where nobody answers, or somebody who says nothing, delays the others by no more than that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import trio

from loopsy_core.errors import Gone, LoopsyError, Misconfigured, ProtocolViolation, Refused
from loopsy_core.home import parse_peer_id
from loopsy_core.links import Channel, SealedChannel, receive_one
from loopsy_core.links.tcp import connect_tcp, parse_address
from loopsy_core.wire import Unreadable, check_protocol, greet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from loopsy_core.home import Identity, PeerId
    from loopsy_core.wire import Introduction

__all__ = ["Line", "call_first", "call_machine", "most_telling"]

HEAD_START: Final = 0.25
"""Seconds that a place has before the next one is called."""
HANDSHAKE: Final = 5.0
"""Seconds for the second message."""


@attrs.frozen
class Line:
    """A connection with a machine that has shown its key; whoever has it closes it."""

    address: str
    channel: SealedChannel
    _transport: Channel

    async def aclose(self) -> None:
        """Close it; does not wait."""
        await self._transport.aclose()


async def call_first(
    addresses: Sequence[str], call: Callable[[str], Awaitable[Line]]
) -> Line | dict[str, LoopsyError]:
    """Return the first line that comes about, or why each address had none."""
    lines: list[Line] = []
    failures: dict[str, LoopsyError] = {}

    async def call_one(address: str, failed: trio.Event, scope: trio.CancelScope) -> None:
        try:
            line = await call(address)
        except LoopsyError as error:
            failures[address] = error
            failed.set()
        else:
            lines.append(line)
            scope.cancel()

    try:
        async with trio.open_nursery() as nursery:
            for address in addresses:
                failed = trio.Event()
                nursery.start_soon(call_one, address, failed, nursery.cancel_scope)
                with trio.move_on_after(HEAD_START):
                    await failed.wait()
    except BaseException:
        await _hang_up(lines)
        raise
    await _hang_up(lines[1:])
    return lines[0] if lines else failures


async def _hang_up(lines: Sequence[Line]) -> None:
    with trio.CancelScope(shield=True):  # closing a socket does not wait
        for line in lines:
            await line.aclose()


async def call_machine(
    identity: Identity, introduction: Introduction, peer: PeerId, address: str
) -> Line:
    """Call the machine whose key is `peer` at one address.

    Raises `Gone` when nobody is there, `Refused` when it is somebody else or does not know us,
    and `Misconfigured` when it speaks another protocol. Their details tell `why` (mending.py).
    """
    host, port = parse_address(address)
    transport = await connect_tcp(host, port)
    try:
        greeting = greet(identity.private, parse_peer_id(peer), introduction)
        try:
            with trio.fail_after(HANDSHAKE):
                await transport.send([greeting.first_message])
                established = greeting.finish(await receive_one(transport))
        except Gone:
            raise Refused(
                f"whoever answers at {address} refuses us: another machine is there now, its key"
                " has changed, or it has forgotten us",
                why="refuses",
            ) from None
        except (Unreadable, ProtocolViolation, trio.TooSlowError):
            raise Refused(
                f"whoever answers at {address} is not the machine that we are paired with",
                why="stranger",
            ) from None
        check_protocol(established.introduction)
    except BaseException:
        with trio.CancelScope(shield=True):
            await transport.aclose()
        raise
    return Line(address, SealedChannel(transport, established.connection), transport)


def most_telling(failures: Mapping[str, LoopsyError], likely: Sequence[str]) -> LoopsyError | None:
    """Return what the user should know of several failures; None when there was none.

    What was said where the machine is likely to be counts before the rest, and what somebody said
    there before that nobody answered.
    """
    ranked = sorted(
        failures.items(),
        key=lambda failure: (failure[0] not in likely, _rank(failure[1])),
    )
    return ranked[0][1] if ranked else None


def _rank(error: LoopsyError) -> int:
    for rank, kind in enumerate((Misconfigured, Refused)):
        if isinstance(error, kind):
            return rank
    return 2
