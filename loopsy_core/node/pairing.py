"""Pairing with another machine: the invitation here or there, the comparison, both users' word.

`wire.comparing` holds the rules; here are the two calls by which users see the number, and the
connection between the machines. Nothing is kept before both users have said yes.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs
import trio

from loopsy_core.errors import (
    BadRequest,
    Gone,
    LoopsyError,
    Misconfigured,
    ProtocolViolation,
    Refused,
)
from loopsy_core.home import peer_id
from loopsy_core.kit import one_error
from loopsy_core.links import Channel, SealedChannel
from loopsy_core.links.tcp import connect_tcp, parse_address
from loopsy_core.peers import Invitations
from loopsy_core.wire import (
    Called,
    Compared,
    Comparing,
    Confirm,
    Invited,
    Unreadable,
    Verdict,
    call_with_code,
    check_protocol,
    decode,
    encode,
    read_verdict,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loopsy_core.links import Asked
    from loopsy_core.peers import Invitation
    from loopsy_core.wire import InvitePeer, JoinPeer

    from .door import Door

__all__ = ["Met", "Pairing"]

STEPS: Final = 10.0
"""Seconds for everything between the call and the number."""
COMPARING: Final = 180.0
"""Seconds that two people may take to compare six digits."""
_REFUSED: Final = (
    "the machine there refuses: the code is wrong, or no invitation is open (`loopsy pair` on that"
    " machine makes one), or somebody else is being paired there"
)
_BURNT: Final = (
    "the invitation is burnt: too many wrong codes were tried, or a caller with the right one broke"
    " off. `loopsy pair` opens another, with another code"
)
_LOST_LATE: Final = (
    "the other machine was lost before it told what its user says: it may know this one now, but"
    " not the other way round. Pair again"
)

_log = logging.getLogger("loopsy.pairing")


@attrs.frozen
class Met:
    """Another machine, both of whose users have said that the numbers are the same."""

    compared: Compared
    address: str | None
    """Where it was called, if it was we who called."""


class _Meeting:
    """One caller that knows the code, handed from the door to whoever shows the invitation."""

    def __init__(self, compared: Compared, line: Channel) -> None:
        self.compared = compared
        self.line = line
        self.over = trio.Event()


_Heard: TypeAlias = _Meeting | LoopsyError | None
"""What whoever shows the invitation hears: a caller, why there will be none, or of a spent try."""


class Pairing:
    """The invitation of this node, and its calls to others'."""

    def __init__(self, door: Door) -> None:
        """Introduce ourselves as `door` does."""
        self._door = door
        self._invitations = Invitations()
        self._to_host: trio.MemorySendChannel[_Heard] | None = None

    # The invitation is ours.

    async def invite(
        self, asked: Asked, request: InvitePeer, addresses: Callable[[], Sequence[str]]
    ) -> Met:
        """Show an invitation over `asked`, and return who came of it.

        Raises `Refused` when the numbers are not the same, the tries are used up or the time is
        over; left, the invitation is withdrawn.
        """
        invitation = self._invitations.make(
            now=time.time(),
            ttl=request.ttl,
            preset=request.preset,
            pairing_expires_at=request.expires,
        )
        self._to_host, callers = trio.open_memory_channel[_Heard](0)
        try:
            while True:
                await asked.send_item(
                    Invited(
                        invitation.code,
                        list(addresses()),
                        invitation.ends_at,
                        invitation.tries_left,
                    )
                )
                meeting = await self._wait_for_caller(invitation, callers)
                if meeting and await self._compare(asked, invitation, meeting):
                    return Met(meeting.compared, None)
        finally:
            self._invitations.close(invitation)
            self._to_host.close()
            callers.close()

    async def _wait_for_caller(
        self, invitation: Invitation, callers: trio.MemoryReceiveChannel[_Heard]
    ) -> _Meeting | None:
        """Wait for one that knows the code; None when a try was spent instead.

        Only this has an end: no comparison is cut short by the invitation's.
        """
        with trio.move_on_after(max(0.0, invitation.ends_at - time.time())):
            try:
                heard = await callers.receive()
            except trio.EndOfChannel:
                raise Refused(_BURNT) from None
            if isinstance(heard, LoopsyError):
                raise heard
            return heard
        raise Refused("nobody came in time; `loopsy pair` opens another invitation")

    async def _compare(self, asked: Asked, invitation: Invitation, meeting: _Meeting) -> bool:
        """Have our user compare; False when the caller was lost on the way."""
        try:
            await _compare(asked, meeting.compared, meeting.line)
        except Gone as error:
            _log.info("a machine that would pair was lost: %s", error)
            self._invitations.give_back(invitation)
            self._tell_of_try()
            return False
        finally:
            meeting.over.set()
        return True

    async def called(self, channel: Channel, first: bytes, known: Callable[[], None]) -> None:
        """Take a stranger's call; one that does not know the code is refused without a word.

        `known` is called once the stranger is not one any more, but somebody to be compared.
        """
        stranger = Called.parse(first)
        invitation, to_host = self._invitations.take(stranger, time.time()), self._to_host
        if invitation is None or to_host is None:
            self._tell_of_try()
            raise Refused("no invitation, or a wrong code")
        handed: _Meeting | None = None
        try:
            with trio.move_on_after(STEPS):
                meeting = await self._answer(channel, stranger, invitation)
                known()
                await to_host.send(meeting)
                handed = meeting
        except Misconfigured as error:  # it speaks another protocol: our user is to know
            self._tell(error)
            raise
        except (Unreadable, trio.BrokenResourceError, trio.ClosedResourceError):
            raise Refused("the caller is not who began the call, or comes too late") from None
        finally:
            if handed is None:
                self._invitations.give_back(invitation)
                self._tell_of_try()
        if handed is None:
            raise Refused("a caller with the code does not go on")
        await handed.over.wait()

    def _tell_of_try(self) -> None:
        """Tell whoever shows the invitation that a try was spent, be it the last one."""
        if self._invitations.open:
            self._tell(None)
        elif self._to_host is not None:
            self._to_host.close()

    def _tell(self, heard: _Heard) -> None:
        if self._to_host is not None:
            # Whoever does not wait is comparing, or has gone: then it is of no interest.
            with suppress(trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
                self._to_host.send_nowait(heard)

    async def _answer(self, channel: Channel, stranger: Called, invitation: Invitation) -> _Meeting:
        door = self._door
        line = _OneByOne(channel)
        answering = stranger.answer(door.identity.private, door.introduction)
        await line.send([answering.second_message])
        introduced = answering.hear((await line.receive())[0])
        check_protocol(introduced.established.introduction)
        sealed = SealedChannel(line, introduced.established.connection)
        committed = introduced.hear((await sealed.receive())[0])
        try:
            await sealed.send([committed.nonce])
            return _Meeting(committed.hear((await sealed.receive())[0]), sealed)
        except BaseException:
            # With our nonce the caller knows the number before our user does. One that does not
            # like it and goes must not get another, or it would have five chances, unseen.
            self._invitations.burn(invitation)
            raise

    # The invitation is theirs.

    async def join(self, asked: Asked, request: JoinPeer) -> Met:
        """Call the machine that invites us, and show the number over `asked`.

        Raises `Gone` when it cannot be reached, `Refused` when it does not want us or the numbers
        differ.
        """
        host, port = parse_address(request.address)
        calling = call_with_code(request.code.strip(), self._door.identity.private)
        channel = await connect_tcp(host, port)
        try:
            with trio.move_on_after(STEPS) as patience:
                line = _OneByOne(channel)
                await line.send([calling.first_message])
                try:
                    second = (await line.receive())[0]
                    met = calling.hear(second, self._door.introduction)
                except Gone:
                    raise Refused(_REFUSED, reason="code") from None
                except (Unreadable, ProtocolViolation):
                    raise Refused(f"whoever answers at {host} is no Loopsy node") from None
                if met.established.remote == self._door.identity.public:
                    raise BadRequest("that is this machine itself; run it on the other one")
                await line.send([met.third_message])  # it tells the other side our protocol, too
                check_protocol(met.established.introduction)
                sealed = SealedChannel(line, met.established.connection)
                await sealed.send([met.commitment])
                compared = met.hear((await sealed.receive())[0])
                assert compared.reveal is not None
                await sealed.send([compared.reveal])
            if patience.cancelled_caught:
                raise Gone(f"{host} does not answer like a Loopsy node")
            await _compare(asked, compared, sealed)
            return Met(compared, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        finally:
            with trio.CancelScope(shield=True):  # closing a socket does not wait
                await channel.aclose()


class _OneByOne(Channel):
    """Gives messages one at a time: of those that come at once, some are sealed and some not."""

    def __init__(self, transport: Channel) -> None:
        self._transport = transport
        self._waiting: list[bytes] = []

    async def send(self, messages: Sequence[bytes]) -> None:
        await self._transport.send(messages)

    async def receive(self) -> list[bytes]:
        if not self._waiting:
            self._waiting = list(await self._transport.receive())
        return [self._waiting.pop(0)]

    async def aclose(self, why: str = "bye") -> None:
        await self._transport.aclose(why)


async def _compare(asked: Asked, compared: Compared, line: Channel) -> None:
    """Return once both users have said that the numbers are the same.

    Raises `Refused` when either says that they are not, `Gone` when the other machine or our own
    user is lost before.
    """
    remote = compared.established
    remote_id = peer_id(remote.remote)
    name = "".join(c for c in remote.introduction.name if c.isprintable()).strip()
    await asked.send_item(Comparing(remote_id, name or remote_id[:8], compared.number))
    words: dict[str, bool] = {}

    async def ours() -> None:
        piece = await asked.receive()
        if piece is None or isinstance(piece, bytes):
            raise Refused("nobody has said whether the numbers are the same")
        words["ours"] = decode(piece.value, Confirm).same
        await line.send([encode(Verdict(words["ours"]))])
        if not words["ours"]:
            raise Refused("you said that the numbers differ: the machines are not paired")

    async def theirs() -> None:
        try:
            words["theirs"] = read_verdict((await line.receive())[0])
        except Gone:
            if words.get("ours") is False:
                return  # they have gone because of it
            raise
        if not words["theirs"]:
            raise Refused("the user there said that the numbers differ: not paired")

    try:
        with trio.move_on_after(COMPARING), one_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ours)
                nursery.start_soon(theirs)
    except Gone:
        if words.get("ours"):
            raise Gone(_LOST_LATE) from None
        raise
    if words != {"ours": True, "theirs": True}:
        raise Refused("nobody has said in time that the numbers are the same: not paired")
