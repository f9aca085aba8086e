"""Relay, node and what they have to tell, together in one process: what `loopsy up` runs."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import trio

from loopsy_core import open_node
from loopsy_core.client import open_client
from loopsy_core.errors import Busy, Gone, LoopsyError, Misconfigured
from loopsy_core.home import Home, create_private, write_private
from loopsy_core.wire import (
    ApprovalDecided,
    ApprovalWanted,
    OfferPairing,
    PeerLost,
    PeerPaired,
    PeerReached,
    PeerRemoved,
    PhoneConnected,
    PhoneLeft,
    PhonePaired,
    PhoneRevoked,
    RelayChanged,
    SessionEnded,
    SessionStarted,
    WrongCode,
)
from loopsy_relay import RelayConfig, serve_relay

from .desktop import open_in_browser
from .looping import stop_on_signals
from .mobile import show_offer
from .relay import DATABASE
from .show import clean, dim, flush, print_json, say

if TYPE_CHECKING:
    from loopsy_core.client import Client
    from loopsy_core.wire import Event, PairingOffer, SessionInfo, Status

__all__ = ["Plan", "run_together"]

OFFER_STANDS: Final = 900.0
"""Seconds until a code that nobody has used is replaced by a new one."""
OFFER_AGAIN: Final = 30.0
"""Seconds before the next try when no offer could be made."""
MAX_WAITING: Final = 100
"""Lines that wait for the terminal."""
_SECRET_BYTES: Final = 32
_SECRET: Final = "registration.secret"
_ADDRESS: Final = "address"
"""Where our relay was last: a node that uses it has no other to lose."""


@attrs.frozen
class Plan:
    """What `up` was asked for."""

    home: Home
    folder: Path
    """Where the relay keeps its things."""
    address: str
    port: int
    lan: bool = attrs.field(kw_only=True)
    as_json: bool = attrs.field(kw_only=True)
    browser: bool = attrs.field(kw_only=True)


async def run_together(plan: Plan) -> list[SessionInfo]:
    """Run the relay and, within it, the node, until told to stop; return the living sessions."""
    config = RelayConfig(
        host="0.0.0.0" if plan.lan else plan.address,
        port=plan.port,
        database=plan.folder / DATABASE,
        registration_secret=_registration_secret(plan.folder),
    )
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup wants us to go on
        numbers.append(signal.SIGHUP)
    with trio.open_signal_receiver(*numbers) as signals:
        async with trio.open_nursery() as relay:
            try:
                port = (await relay.start(serve_relay, config)).port
            except Busy:
                raise Busy(
                    f"port {plan.port} is taken, maybe by another `loopsy up`: choose one with"
                    " --port, or --port 0 for any that is free"
                ) from None
            url = f"http://{plan.address}:{port}"
            async with open_node(plan.home) as node, trio.open_nursery() as nursery:
                nursery.start_soon(stop_on_signals, node.stop_soon, signals)
                before = _read(plan.folder / _ADDRESS)
                _check_relay((await node.status()).relay.url, url, before)
                linked = await node.use_relay(url, config.registration_secret, moved_from=before)
                write_private(plan.folder / _ADDRESS, url.encode())
                if not linked.connected:
                    why = linked.problem or "it does not answer"
                    raise Gone(f"the node cannot reach its own relay at {url}: {why}")
                async with open_client(plan.home) as client:
                    nursery.start_soon(_Report(plan, client, url).run)
                    await node.wait_stopped()
                    living = [session for session in await client.sessions() if session.alive]
                    nursery.cancel_scope.cancel()
            relay.cancel_scope.cancel()
    return living


def _check_relay(known: str | None, url: str, before: str | None) -> None:
    """See that no other relay is given up for ours, which is at `url` and was at `before`."""
    if known is not None and known not in (url, before):
        raise Misconfigured(
            f"this home uses the relay {known}, and its phones come through that: `loopsy start`"
            " runs the node with it. To have a relay here instead, run `loopsy start`,"
            " `loopsy relay unset` and `loopsy stop` first"
        )


class _Report:
    """Tells whoever watches how to get in, and who does.

    One task prints, from a thread: a terminal that takes nothing (after Ctrl-S, say) must hold
    up neither the node nor the reading of events. What finds no room meanwhile is dropped.
    """

    def __init__(self, plan: Plan, client: Client, url: str) -> None:
        """Report on the node behind `client`, whose relay is at `url`."""
        self._plan = plan
        self._client = client
        self._url = url
        self._offer_over = trio.Event()
        self._paired = False
        self._print, self._printing = trio.open_memory_channel[Callable[[], None]](MAX_WAITING)

    async def run(self) -> None:
        """Offer a phone to pair, and report events, for ever."""
        async with self._client.watch_events() as events, trio.open_nursery() as nursery:
            status = await self._client.status()
            self._paired = status.phones > 0
            nursery.start_soon(self._keep_printing)
            nursery.start_soon(self._keep_offering, status, nursery)
            async for event in events:
                self._note(event)
                if not self._plan.as_json and (line := _line(event)):
                    moment = dim(time.strftime("%H:%M:%S"))
                    with suppress(trio.WouldBlock):
                        self._print.send_nowait(partial(say, f"{moment}  {line}"))

    async def _keep_printing(self) -> None:
        async for write in self._printing:
            await trio.to_thread.run_sync(_print_now, write, abandon_on_cancel=True)

    async def _keep_offering(self, status: Status, nursery: trio.Nursery) -> None:
        """Keep an offer open until somebody has paired; show each."""
        offer = await self._offer()
        if self._plan.as_json:
            await self._print.send(partial(print_json, self._facts(offer, status)))
            return
        await self._print.send(partial(self._show_first, offer))
        if self._plan.browser:
            nursery.start_soon(open_in_browser, self._link(offer), self._plan.folder)
        while True:
            with trio.move_on_after(offer.expires_at - time.time()):
                await self._offer_over.wait()
            if self._paired:
                return
            self._offer_over = trio.Event()
            try:
                offer = await self._offer()
            except LoopsyError as error:
                await self._print.send(
                    partial(say, f"No code can be offered now: {clean(str(error))}")
                )
                await trio.sleep(OFFER_AGAIN)
            else:
                await self._print.send(partial(self._show_again, offer))

    async def _offer(self) -> PairingOffer:
        return await self._client.ask(OfferPairing(ttl=OFFER_STANDS))

    def _note(self, event: Event) -> None:
        match event:
            case PhonePaired():
                self._paired = True
                self._offer_over.set()
            case WrongCode(tries_left=0):
                self._offer_over.set()
            case _:
                pass

    def _link(self, offer: PairingOffer) -> str:
        """Return what a browser here should open: it has paired before, or it must now."""
        return f"{self._url}/app" if self._paired else offer.pair_url

    def _facts(self, offer: PairingOffer, status: Status) -> dict[str, object]:
        return {
            "app_url": f"{self._url}/app",
            "pair_url": offer.pair_url,
            "code": offer.code,
            "expires_at": offer.expires_at,
            "home": os.fsencode(self._plan.home.root).decode("utf-8", "replace"),
            "node_id": status.node_id,
            "relay_url": self._url,
        }

    def _show_first(self, offer: PairingOffer) -> None:
        say(f"Loopsy is up: {self._url}/app")
        say()
        show_offer(offer)
        say()
        say("Ctrl-C stops it; sessions live on.")
        say()

    def _show_again(self, offer: PairingOffer) -> None:
        say("That code is void now. Here is another:")
        say()
        show_offer(offer)
        say()


def _print_now(write: Callable[[], None]) -> None:
    write()
    flush()


def _line(event: Event) -> str | None:
    """Return what happened, for a person."""
    match event:
        case PhonePaired():
            return f"{clean(event.name)} is paired; `loopsy mobile pair` pairs another"
        case PhoneConnected():
            return f"{clean(event.name)} is connected"
        case PhoneLeft():
            return f"{clean(event.name)} has left"
        case PhoneRevoked():
            return f"{clean(event.name)} is revoked"
        case WrongCode():
            tries = "1 try is" if event.tries_left == 1 else f"{event.tries_left} tries are"
            return (
                f"a wrong code was typed; {tries} left"
                if event.tries_left
                else ("wrong codes were typed too often")
            )
        case RelayChanged(connected=True):
            return "the link to the relay is back"
        case RelayChanged():
            return f"the link to the relay is lost: {clean(event.problem or 'it is tried again')}"
        case ApprovalWanted():
            return (
                f"`loopsy approve` decides whether {clean(event.kind)} may ask nothing any more:"
                f" device {event.contact[:8]} would like it, named {clean(event.name)}"
            )
        case PeerPaired():
            return f"paired with {clean(event.name)}"
        case PeerRemoved():
            return f"{clean(event.name)} is forgotten"
        case SessionStarted() | SessionEnded() | ApprovalDecided() | PeerReached() | PeerLost():
            return None


def _registration_secret(folder: Path) -> str:
    """Return what a machine needs to register here, made once: strangers do not have it."""
    path = folder / _SECRET
    made = secrets.token_urlsafe(_SECRET_BYTES)
    try:
        create_private(path, made.encode() + b"\n")
    except FileExistsError:
        found = _read(path)
        if not found:
            raise Misconfigured(f"{path} holds no secret; remove it, and it is made anew") from None
        return found
    return made


def _read(path: Path) -> str | None:
    try:
        return path.read_text("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Misconfigured(f"cannot read {path}: {error.strerror}") from None
