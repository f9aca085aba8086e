"""mDNS: machines of one network find each other by name (RFC 6762 and 6763, `_loopsy._tcp`).

What is heard proves nothing, for anybody on the network can say anything: it is a place to call,
where whoever answers must then prove its key. zeroconf lives in threads of its own; its calls go
through worker threads, and its callbacks hand over small facts.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections import deque
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import attrs
import trio

from loopsy_core.errors import Gone
from loopsy_core.kit import contained

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from zeroconf import Zeroconf

__all__ = ["Announcement", "Found", "Mdns", "open_mdns", "own_networks"]

SERVICE: Final = "_loopsy._tcp.local."
RESOLVING: Final = 3.0
"""Seconds that a machine may take to say where it is, once it was heard of."""
MAX_WAITING: Final = 256
"""Machines that were heard of and not asked yet; more are dropped, and heard of again later."""
AT_ONCE: Final = 4
"""Machines that are asked at once: one that does not answer must not delay all others."""
MAX_ADDRESSES: Final = 6
GOODBYE: Final = 2.0
"""Seconds that taking our own announcement back may take."""

_INSTANCE: Final = re.compile(r"([a-z2-7]{52})\." + re.escape(SERVICE))

_log = logging.getLogger(__name__)
_threads = trio.CapacityLimiter(AT_ONCE)


@attrs.frozen
class Announcement:
    """What this machine tells of itself."""

    id: str
    name: str
    port: int


@attrs.frozen
class Found:
    """A machine that was heard of, and where it says that it is: `host:port`, at least one."""

    id: str
    addresses: tuple[str, ...]


def own_networks() -> frozenset[str]:
    """Return the addresses of this machine that mDNS can use; blocks for a moment."""
    import ifaddr

    found = (ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips)
    return frozenset(
        ip for ip in found if isinstance(ip, str) and not ipaddress.ip_address(ip).is_loopback
    )


@asynccontextmanager
async def open_mdns(
    announcement: Announcement | None,
    wanted: Callable[[str], bool],
    on_found: Callable[[Found], None],
) -> AsyncGenerator[Mdns]:
    """Announce this machine, if it wants that, and listen for others, while the block lasts.

    `wanted` says of an id whether it matters where it is; `on_found` is told, in trio's thread.
    A machine that says goodbye is not told of: whoever says so may be anybody, and trying
    where it was costs little. Raises `Gone` when there is no network to listen on.
    """
    token = trio.lowlevel.current_trio_token()
    heard = Mdns(wanted)

    def on_change(name: str) -> None:
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(heard.put, name, idempotent=False)

    zeroconf = await trio.to_thread.run_sync(_open, announcement, on_change)
    try:
        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(_resolve_forever, zeroconf, heard, on_found)
            yield heard
            nursery.cancel_scope.cancel()
    finally:
        with trio.move_on_after(GOODBYE, shield=True):
            await trio.to_thread.run_sync(zeroconf.close, abandon_on_cancel=True)


class Mdns:
    """Names that were heard and are to be asked for, each once, those that matter only."""

    def __init__(self, wanted: Callable[[str], bool]) -> None:
        """Take in what `wanted` says matters."""
        self._wanted = wanted
        self._waiting: deque[str] = deque()
        self._lot = trio.lowlevel.ParkingLot()

    def look_for(self, peer: str) -> None:
        """Ask the network where a machine is; it may have been heard before it mattered."""
        self.put(f"{peer}.{SERVICE}")

    def put(self, name: str) -> None:
        """Have a name that was heard be asked for, if that matters."""
        match = _INSTANCE.fullmatch(name)
        if match is None or not self._wanted(match[1]) or name in self._waiting:
            return
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append(name)
            self._lot.unpark()

    async def next(self) -> str:
        """Wait for a name."""
        while not self._waiting:
            await self._lot.park()
        return self._waiting.popleft()


async def _resolve_forever(
    zeroconf: Zeroconf, heard: Mdns, on_found: Callable[[Found], None]
) -> None:
    while True:
        name = await heard.next()
        # Whatever strangers make zeroconf stumble over, it costs a line of the log.
        with contained(_log, "asking where a machine is"):
            # Not abandoned: it ends by itself within seconds, and must not outlive `zeroconf`.
            found = await trio.to_thread.run_sync(_resolve, zeroconf, name, limiter=_threads)
            if found is not None:
                on_found(found)


def _open(announcement: Announcement | None, on_change: Callable[[str], None]) -> Zeroconf:
    from zeroconf import Error

    for name in ("zeroconf", "asyncio"):
        logging.getLogger(name).addFilter(_without_traceback)
    try:
        return _open_zeroconf(announcement, on_change)
    except (Error, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Gone(f"no mDNS here: {reason or type(error).__name__}") from None


def _without_traceback(record: logging.LogRecord) -> bool:
    """Have a network that is missing told in a line; zeroconf shows where in itself it noticed."""
    record.exc_info = None
    return True


def _open_zeroconf(announcement: Announcement | None, on_change: Callable[[str], None]) -> Zeroconf:
    from zeroconf import IPVersion, ServiceBrowser, ServiceListener, Zeroconf

    class Listener(ServiceListener):
        """Hands names over."""

        def add_service(self, zc: Zeroconf, type_: str, name: str) -> None:
            on_change(name)

        update_service = remove_service = add_service

    try:
        zeroconf = Zeroconf(ip_version=IPVersion.All)
    except OSError:
        zeroconf = Zeroconf(ip_version=IPVersion.V4Only)
    try:
        if announcement is not None:
            _announce(zeroconf, announcement)
        ServiceBrowser(zeroconf, SERVICE, Listener())
    except BaseException:
        zeroconf.close()
        raise
    return zeroconf


def _announce(zeroconf: Zeroconf, announcement: Announcement) -> None:
    from zeroconf import ServiceInfo

    zeroconf.register_service(
        ServiceInfo(
            SERVICE,
            f"{announcement.id}.{SERVICE}",
            port=announcement.port,
            properties={"name": announcement.name, "v": "1"},
            server=f"loopsy-{announcement.id[:16]}.local.",
            parsed_addresses=sorted(own_networks()),
        ),
        # Nobody is asked whether the name is free: it is our key. Whoever says that it is taken
        # would keep us from announcing it.
        cooperating_responders=True,
        strict=False,  # our name is longer than 15 characters nowhere but in the instance
    )


def _resolve(zeroconf: Zeroconf, name: str) -> Found | None:
    """Return where a machine says that it is; None when it does not, or that cannot be."""
    match = _INSTANCE.fullmatch(name)
    assert match is not None
    info = zeroconf.get_service_info(SERVICE, name, timeout=int(RESOLVING * 1000))
    if info is None or not info.port:
        return None
    addresses = [
        f"[{address}]:{info.port}" if ":" in address else f"{address}:{info.port}"
        for address in info.parsed_scoped_addresses()
        if _is_elsewhere(address)
    ]
    addresses.sort(key=lambda address: address.startswith("["))  # IPv4 first, as a rule it works
    return Found(match[1], tuple(addresses[:MAX_ADDRESSES])) if addresses else None


def _is_elsewhere(address: str) -> bool:
    """Whether another machine can be there: nobody is to have us call what listens here alone."""
    ip = ipaddress.ip_address(address)
    return not (ip.is_loopback or ip.is_unspecified or ip.is_multicast)
