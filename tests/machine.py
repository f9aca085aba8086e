"""Real parts of Loopsy for tests and benchmarks: a home, its node, a relay, a phone.

Processes, sockets and files as a user has them; all of it ends with the block that made it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.client import Client, open_client, open_host_client, start_daemon
from loopsy_core.errors import Busy, Gone
from loopsy_core.home import Home, create_identity, lock_file, parse_peer_id
from loopsy_core.links import open_conversation
from loopsy_core.links.relay import open_sealed_by_relay
from loopsy_core.links.relay_api import RelayApi
from loopsy_core.wire import (
    ConfigureRelay,
    Introduction,
    OfferPairing,
    PairLink,
    greet,
    greet_with_offer,
    offer_id,
    pairing_key,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

HOST_ENDS: Final = 10.0
"""Seconds that a session host may take to end."""

_SERVE_RELAY: Final = """
import sys, trio
from loopsy_relay import RelayConfig, serve_relay
async def main():
    async with trio.open_nursery() as nursery:
        config = RelayConfig(database=sys.argv[1], port=int(sys.argv[2]))
        address = await nursery.start(serve_relay, config)
        print(address.url, flush=True)
trio.run(main)
"""


@contextmanager
def temporary_home() -> Generator[Home]:
    """Make a home that is gone afterwards."""
    # Whatever ends late may still write there, which is no reason to fail.
    with tempfile.TemporaryDirectory(prefix="loopsy-bench-", ignore_cleanup_errors=True) as folder:
        home = Home(Path(folder) / "home")
        home.create()
        create_identity(home)
        yield home


@asynccontextmanager
async def running_node(home: Home, *, lan: bool = False) -> AsyncGenerator[Client]:
    """Run the node of `home` as a process; it, its host and all sessions end with the block."""
    pid = await start_daemon(home, lan=lan)
    try:
        async with open_client(home) as client:
            yield client
    finally:
        with trio.CancelScope(shield=True):
            try:
                await _end_sessions(home)
            finally:
                os.kill(pid, signal.SIGTERM)
                await trio.to_thread.run_sync(os.waitpid, pid, 0)
                await _end_host(home)  # not before: the node would start another for what is kept


async def _end_sessions(home: Home) -> None:
    with suppress(Gone):
        async with open_host_client(home) as host:
            for session in await host.sessions():
                if session.alive:
                    await host.end_session(session.id)


async def _end_host(home: Home) -> None:
    """End the host of `home` if there is one, and wait for that: it writes there to the last."""
    with trio.fail_after(HOST_ENDS):
        while True:
            with suppress(Busy), lock_file(home.host_lock):
                return
            with suppress(ProcessLookupError, ValueError):  # it has ended, or has just begun
                os.kill(int(home.host_lock.read_text(encoding="ascii")), signal.SIGTERM)
            await trio.sleep(0.02)


@contextmanager
def running_relay(folder: Path, port: int = 0) -> Generator[tuple[str, int]]:
    """Run a relay as a process of its own; yields its address and its pid."""
    command = [sys.executable, "-c", _SERVE_RELAY, str(folder / "relay.db"), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().decode().strip(), process.pid
        finally:
            process.terminate()


class Phone:
    """A paired phone: what it needs to call its node."""

    def __init__(self, relay: str, bearer: str, private: bytes, node: bytes) -> None:
        self.relay = relay
        self._bearer = bearer
        self._private = private
        self._node = node

    @property
    def known(self) -> tuple[str, str, str, str]:
        """What makes the same phone in another process, bytes as hex."""
        return self.relay, self._bearer, self._private.hex(), self._node.hex()

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[Client]:
        """Call the node through the relay, sealed."""
        greeting = greet(self._private, self._node, Introduction("phone", "0"))
        async with (
            open_sealed_by_relay(self.relay, self._bearer, greeting) as (channel, _),
            open_conversation(channel, opener=True) as conversation,
        ):
            yield Client(conversation)


async def use_relay(client: Client, relay: str) -> None:
    """Have the node register at `relay`."""
    await client.ask(ConfigureRelay(url=relay))


async def pair_phone(client: Client) -> Phone:
    """Pair a phone with the node through the relay that it uses."""
    offered = await client.ask(OfferPairing())
    return await take_offer(offered.pair_url, offered.code)


async def take_offer(pair_url: str, code: str) -> Phone:
    """Pair as the phone that was given this link and code."""
    link = PairLink.parse(pair_url)
    redeemed = await RelayApi(link.relay).redeem(link.token, "phone")
    private = os.urandom(32)
    node = parse_peer_id(link.node)
    greeting = greet_with_offer(
        private,
        node,
        offer_id(link.secret),
        pairing_key(link.secret, code),
        Introduction("phone", "0"),
    )
    async with (
        open_sealed_by_relay(link.relay, redeemed.bearer, greeting) as (channel, _),
        open_conversation(channel, opener=True) as conversation,
    ):
        await Client(conversation).status()
    return Phone(link.relay, redeemed.bearer, private, node)
