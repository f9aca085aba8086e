"""The host on its socket: one per home, for whoever asks, unmoved by garbage, gone when idle."""

from __future__ import annotations

import random
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.client import open_host_client
from loopsy_core.errors import Busy, Gone
from loopsy_core.home import socket_address
from loopsy_core.kit import one_error
from loopsy_core.sessions.host import IDLE, Host, serve_host
from loopsy_core.sessions.registry import open_sessions
from loopsy_core.wire import StartSession, encode_frames
from tests.core.sessions.emulators import near_emulator
from tests.core.sessions.stage import LOG
from tests.world import PATIENCE, memory_channels

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from loopsy_core.home import Home


@asynccontextmanager
async def open_host(home: Home) -> AsyncGenerator[None]:
    """Run the host of `home` in this process."""
    with one_error(), trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            await nursery.start(serve_host, home)
            yield
            nursery.cancel_scope.cancel()


async def reply_to(home: Home, said: bytes) -> bytes:
    """Say something on the host's socket and return what comes until it hangs up."""
    with socket_address(home.host_socket) as address:
        stream = await trio.open_unix_socket(address)
    async with stream:
        await stream.send_all(said)
        await stream.send_eof()
        heard = b""
        while True:
            try:
                data = await stream.receive_some()
            except trio.BrokenResourceError:
                return heard
            if not data:
                return heard
            heard += data


async def test_the_socket_is_the_users_own_and_gone_afterwards(home: Home) -> None:
    async with open_host(home):
        assert home.host_socket.stat().st_mode & 0o777 == 0o600
        async with open_host_client(home) as client:
            assert await client.sessions() == []
    assert not home.host_socket.exists()
    with pytest.raises(Gone, match="nothing answers"):
        async with open_host_client(home):
            pass


async def test_a_home_has_one_host(home: Home) -> None:
    async with open_host(home):
        with pytest.raises(Busy, match=r"host\.lock is held by process"):
            await serve_host(home)
        async with open_host_client(home) as client:
            assert await client.sessions() == []


async def test_what_a_dead_host_left_is_in_nobodys_way(home: Home) -> None:
    home.host_lock.write_text("1\n")
    home.host_socket.touch()
    async with open_host(home), open_host_client(home) as client:
        assert await client.sessions() == []


GARBAGE = {
    "nothing": b"",
    "half a length": b"\0\0",
    "a length of nothing": b"\0\0\0\0",
    "a length beyond the limit": struct.pack(">I", (1 << 20) + 1) + b"x",
    "the largest length there is": b"\xff\xff\xff\xff" + b"x" * 100,
    "half a message": struct.pack(">I", 100) + b"\x94",
    "no MessagePack": encode_frames([b"\xc1"]),
    "no array": encode_frames([b"\x80"]),
    "an unknown kind": encode_frames([b"\x92\x63\x01"]),
    "an answer to nothing": encode_frames([b"\x93\x02\x07\xc0"]),
    "data for nothing": encode_frames([b"\x93\x04\x07\xc4\x01x"]),
    "an id of the other side": encode_frames([b"\x95\x01\x02\xa1x\x80\xc0"]),
    "a web browser": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "nesting without end": encode_frames([b"\x91" * 100_000]),
}


@pytest.mark.parametrize("what", GARBAGE)
async def test_garbage_costs_nobody_else_anything(home: Home, what: str) -> None:
    async with open_host(home), open_host_client(home) as client:
        assert await reply_to(home, GARBAGE[what]) == b""
        assert await client.sessions() == []


async def test_noise_costs_nobody_else_anything(home: Home) -> None:
    dice = random.Random(5)
    async with open_host(home), open_host_client(home) as client:
        for _ in range(50):
            await reply_to(home, dice.randbytes(dice.randint(1, 3000)))
            body = bytes([0x90 | dice.randint(2, 6), dice.randint(1, 10)]) + dice.randbytes(30)
            await reply_to(home, encode_frames([body]))
        assert await client.sessions() == []


async def test_many_who_say_nothing_cost_nobody_else_anything(home: Home) -> None:
    async with open_host(home), trio.open_nursery() as nursery:
        for _ in range(100):
            with socket_address(home.host_socket) as address:
                stream = await trio.open_unix_socket(address)
            nursery.start_soon(hold, stream)
        async with open_host_client(home) as client:
            assert await client.sessions() == []
        nursery.cancel_scope.cancel()


async def hold(stream: trio.SocketStream) -> None:
    async with stream:
        await trio.sleep_forever()


async def test_a_host_leaves_when_nobody_has_been_there_for_a_while(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_sessions(LOG, start_emulator=near_emulator) as sessions:
        host = Host(sessions)
        await host.wait_idle()
        assert trio.current_time() == pytest.approx(IDLE)


async def test_a_host_stays_while_somebody_is_there(
    autojump_clock: trio.testing.MockClock,
) -> None:
    near, far = memory_channels()
    async with (
        open_sessions(LOG, start_emulator=near_emulator) as sessions,
        trio.open_nursery() as nursery,
    ):
        host = Host(sessions)
        nursery.start_soon(host.serve, far)
        with trio.move_on_after(20) as visit:  # silent, but not yet for long
            await host.wait_idle()
        assert visit.cancelled_caught
        await near.aclose()
        await host.wait_idle()
        assert trio.current_time() == pytest.approx(20 + IDLE)


async def test_a_host_stays_while_a_program_runs(autojump_clock: trio.testing.MockClock) -> None:
    async with open_sessions(LOG, start_emulator=near_emulator) as sessions:
        host = Host(sessions)
        session = await sessions.start(StartSession(argv=["cat"]))
        with trio.move_on_after(10 * IDLE) as long_time:
            await host.wait_idle()
        assert long_time.cancelled_caught
        await sessions.find(session.id).end()
        began = trio.current_time()
        await host.wait_idle()
        assert trio.current_time() - began <= 2 * IDLE
