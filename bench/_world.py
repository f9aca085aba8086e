"""What the benchmarks share: a home of their own with node and relay, a phone, and the floor."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.client import Client, open_client, open_host_client, start_daemon
from loopsy_core.errors import Gone
from loopsy_core.home import Home, create_identity, parse_peer_id
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
    from collections.abc import AsyncGenerator, Generator, Sequence

_SERVE_RELAY: Final = """
import sys, trio
from loopsy_relay import RelayConfig, serve_relay
async def main():
    async with trio.open_nursery() as nursery:
        config = RelayConfig(database=sys.argv[1], port=0)
        address = await nursery.start(serve_relay, config)
        print(address.url, flush=True)
trio.run(main)
"""


def report(case: str, value: float, unit: str, **more: object) -> None:
    """Print one figure as a JSON line."""
    sys.stdout.write(json.dumps({"case": case, "value": value, "unit": unit, **more}) + "\n")
    sys.stdout.flush()


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that `percent` of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def temporary_home() -> Generator[Home]:
    """Make a home that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="loopsy-bench-") as folder:
        home = Home(Path(folder) / "home")
        home.create()
        create_identity(home)
        yield home


@asynccontextmanager
async def running_node(home: Home) -> AsyncGenerator[Client]:
    """Run the node of `home` as a process; it, its host and all sessions end with the block."""
    pid = await start_daemon(home)
    try:
        async with open_client(home) as client:
            yield client
    finally:
        with trio.CancelScope(shield=True):
            await _end_sessions(home)
            os.kill(pid, signal.SIGTERM)
            await trio.to_thread.run_sync(os.waitpid, pid, 0)


async def _end_sessions(home: Home) -> None:
    try:
        async with open_host_client(home) as host:
            for session in await host.sessions():
                if session.alive:
                    await host.end_session(session.id)
    except Gone:
        return
    host_pid = int(home.host_lock.read_text(encoding="ascii"))
    os.kill(host_pid, signal.SIGTERM)


@contextmanager
def running_relay(folder: Path) -> Generator[tuple[str, int]]:
    """Run a relay as a process of its own; yields its address and its pid."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE_RELAY, str(folder / "relay.db")], stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().decode().strip()
        yield url, process.pid
    finally:
        process.terminate()
        process.wait()


class Phone:
    """A paired phone: what it needs to call its node."""

    def __init__(self, relay: str, bearer: str, private: bytes, node: bytes) -> None:
        self._relay = relay
        self._bearer = bearer
        self._private = private
        self._node = node

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[Client]:
        """Call the node through the relay, sealed."""
        greeting = greet(self._private, self._node, Introduction("bench", "0"))
        async with (
            open_sealed_by_relay(self._relay, self._bearer, greeting) as (channel, _),
            open_conversation(channel, opener=True) as conversation,
        ):
            yield Client(conversation)


async def use_relay(client: Client, relay: str) -> None:
    """Have the node register at `relay`."""
    await client.ask(ConfigureRelay(url=relay))


async def pair_phone(client: Client, relay: str) -> Phone:
    """Pair a phone with the node through the relay that it uses."""
    offered = await client.ask(OfferPairing())
    link = PairLink.parse(offered.pair_url)
    redeemed = await RelayApi(relay).redeem(link.token, "bench")
    private = os.urandom(32)
    node = parse_peer_id(link.node)
    greeting = greet_with_offer(
        private,
        node,
        offer_id(link.secret),
        pairing_key(link.secret, offered.code),
        Introduction("bench", "0"),
    )
    async with (
        open_sealed_by_relay(relay, redeemed.bearer, greeting) as (channel, _),
        open_conversation(channel, opener=True) as conversation,
    ):
        await Client(conversation).status()
    return Phone(relay, redeemed.bearer, private, node)


@asynccontextmanager
async def local_and_sealed() -> AsyncGenerator[tuple[Client, Client]]:
    """A node with two clients: one on its socket, one sealed through a relay."""
    async with AsyncExitStack() as stack:
        home = stack.enter_context(temporary_home())
        relay, _ = stack.enter_context(running_relay(home.root))
        local = await stack.enter_async_context(running_node(home))
        await use_relay(local, relay)
        phone = await pair_phone(local, relay)
        yield local, await stack.enter_async_context(phone.connected())


def bare_read(command: Sequence[str]) -> float:
    """Return the seconds a bare loop takes to read all that `command` prints on a PTY: the floor."""
    near, far = os.openpty()
    began = time.perf_counter()
    process = subprocess.Popen(command, stdin=far, stdout=far, stderr=far, start_new_session=True)
    os.close(far)
    try:
        while os.read(near, 65_536):
            pass
    except OSError:
        pass  # Linux: the other side is closed
    seconds = time.perf_counter() - began
    process.wait()
    os.close(near)
    return seconds
