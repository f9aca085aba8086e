"""Real processes that are killed: the node in the middle of everything, the session host too."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import pytest
import trio
from pexpect import EOF

from loopsy_core.client import OutputLost, Viewing, open_client, open_host_client, start_daemon
from loopsy_core.errors import Gone, LoopsyError, NoDaemon
from loopsy_core.sessions.records import Records
from loopsy_core.wire import StopNode, Viewers
from tests.world import PATIENCE, eventually, holder_of

if TYPE_CHECKING:
    from loopsy_core.client import Attached, Client
    from loopsy_core.home import Home
    from loopsy_core.wire import SessionInfo

ECHO: Final = ["sh", "-c", "stty raw -echo; printf '#'; exec cat"]
"""Says back what is typed, byte by byte, once it has said `#`."""
ENDS: Final = 20
"""How often the node ends: killed, by SIGTERM, and as `loopsy stop` does it, in turn."""
BETWEEN_ENDS: Final = 10_000
"""Bytes that come back before the node ends again."""
AHEAD: Final = 30_000
"""Bytes that are typed before they come back: who types and is further behind gets a picture."""


async def end(pid: int, home: Home, number: int) -> None:
    """End a node of ours in one way or another, and wait until it has."""
    match number % 3:
        case 0:
            os.kill(pid, signal.SIGKILL)
        case 1:
            os.kill(pid, signal.SIGTERM)
        case _:
            async with open_client(home) as client:
                await client.ask(StopNode())
    await trio.to_thread.run_sync(os.waitpid, pid, 0)


class Both:
    """One user's both directions: all that was typed, and all that was shown."""

    def __init__(self, viewing: Viewing) -> None:
        self.viewing = viewing
        self.typed = bytearray()
        self.shown = bytearray()
        self._number = 0

    async def type_for_ever(self, attached: Attached) -> None:
        try:
            while True:
                line = f"{self._number:07}\n".encode() * 16
                self._number += 1
                self.typed += line
                await attached.type(line)
                while len(self.typed) - len(self.shown) > AHEAD:  # noqa: ASYNC110 - no event tells
                    await trio.sleep(0.001)
        except LoopsyError:
            return  # the connection is gone, or the node takes no more

    async def show_until(self, attached: Attached, size: int) -> None:
        while len(self.shown) < size:
            piece = await attached.receive()
            assert isinstance(piece, bytes | Viewers)
            self.shown += piece if isinstance(piece, bytes) else b""

    async def show_until_lost(self, attached: Attached) -> None:
        with pytest.raises(Gone):
            await self.show_until(attached, 1 << 40)


async def test_nothing_is_lost_or_doubled_when_the_node_ends_again_and_again_under_load(
    home: Home,
) -> None:
    with trio.fail_after(PATIENCE):
        pid = await start_daemon(home)
        async with open_client(home) as client:
            flood = await client.start(["sh", "-c", "while :; do echo flooding; done"])
            session = await client.start(ECHO)
            both = Both(Viewing(session.id))
            async with client.attach(both.viewing, cols=80, rows=24) as (attached, drawn):
                assert drawn is not None
                if b"#" not in drawn.vt:
                    while await attached.receive() != b"#":
                        pass
        flooded = Viewing(flood.id)
        for number in range(ENDS):
            async with (
                open_client(home) as client,
                client.attach(both.viewing, cols=80, rows=24) as (attached, drawn),
                trio.open_nursery() as nursery,
            ):
                assert drawn is None, "the output goes on where it was"
                nursery.start_soon(show_flood, client, flooded)
                nursery.start_soon(both.type_for_ever, attached)
                await both.show_until(attached, len(both.shown) + BETWEEN_ENDS)
                await end(pid, home, number)
                await both.show_until_lost(attached)
                nursery.cancel_scope.cancel()
            with pytest.raises(NoDaemon):
                await ask_status(home)
            pid = await start_daemon(home)
        async with (
            open_client(home) as client,
            client.attach(both.viewing, cols=80, rows=24) as (attached, drawn),
        ):
            assert drawn is None
            both.typed += b"the end"
            await attached.type(b"the end")
            await both.show_until(attached, len(both.typed))
            for each in await client.sessions():
                assert each.alive
                await client.end_session(each.id)

    assert len(both.typed) > ENDS * BETWEEN_ENDS
    assert both.shown == both.typed


async def show_flood(client: Client, flooded: Viewing) -> None:
    """Show what floods until the connection is gone: no exactness, for a picture may skip some."""
    with suppress(Gone):
        async with client.attach(flooded, cols=80, rows=24) as (attached, _):
            await receive_for_ever(attached)


@pytest.mark.parametrize("number", range(3))
async def test_a_script_goes_on_when_the_node_has_ended_and_come_back(
    home: Home, number: int
) -> None:
    with trio.fail_after(PATIENCE):
        pid = await start_daemon(home)
        async with open_client(home) as client, client.start_session(ECHO) as session:
            await session.expect_exact("#")
            await session.send("one.")
            await end(pid, home, number)
            await session.send("two.")
            with pytest.raises(Gone):
                await client.sessions()
            await start_daemon(home)
            await session.send("three.")
            assert await session.expect_exact("three.") == 0
            assert session.before == "one.two."
            assert [each.alive for each in await client.sessions()] == [True]
            assert "#one.two.three." in await session.screen()
        async with open_client(home) as client:
            assert [each.alive for each in await client.sessions()] == [False]


@pytest.mark.parametrize("read_before", [False, True])
async def test_a_script_is_told_that_its_session_is_lost_with_its_host(
    home: Home, *, read_before: bool
) -> None:
    with trio.fail_after(PATIENCE):
        await start_daemon(home)
        async with open_client(home) as client, client.start_session(ECHO) as session:
            await session.expect_exact("#")
            await eventually(Records(home.sessions).any)
            await session.send("some")
            if read_before:
                await session.expect_exact("so")
            host = holder_of(home.host_lock)
            assert host is not None
            os.kill(host, signal.SIGKILL)
            with pytest.raises(OutputLost) as lost:
                await session.expect("more")
            assert lost.value.missed is None
            assert await session.expect([EOF]) == 0
            assert await session.wait_ended() is None


async def ask_status(home: Home) -> None:
    async with open_client(home) as client:
        await client.status()


async def test_a_killed_node_leaves_the_sessions_and_a_home_in_which_the_next_one_starts(
    home: Home,
) -> None:
    with trio.fail_after(PATIENCE):
        pid = await start_daemon(home)
        async with open_client(home) as client:
            session = await client.start(["cat"], name="keeps")
            await end(pid, home, 0)
            with pytest.raises(Gone):
                await client.sessions()
        async with open_host_client(home) as host:
            assert [each.id for each in await host.sessions()] == [session.id]
        await start_daemon(home)
        async with open_client(home) as client:
            (after,) = await client.sessions()
            assert (after.id, after.name, after.alive) == (session.id, "keeps", True)
            assert (await client.status()).sessions == 1
            await client.end_session("keeps")


async def test_when_the_session_host_is_killed_calls_say_so_and_the_next_session_gets_a_new_one(
    home: Home,
) -> None:
    with trio.fail_after(PATIENCE):
        await start_daemon(home)
        async with open_client(home) as client, open_client(home) as other:
            session = await client.start(["cat"])
            assert len(await other.sessions()) == 1
            await eventually(Records(home.sessions).any)
            host = holder_of(home.host_lock)
            assert host is not None
            async with client.attach(session.id, cols=80, rows=24) as (attached, _):
                os.kill(host, signal.SIGKILL)
                with pytest.raises(Gone):
                    await receive_for_ever(attached)
            for each in (client, other):
                [lost] = await sessions_after_a_loss(each)
                assert (lost.id, lost.alive) == (session.id, False)
                assert lost.lost is not None
                assert (await each.status()).sessions == 0

            again = await other.start(["cat"])

            assert again.alive
            assert holder_of(home.host_lock) not in (None, host)
            assert [each.id for each in await client.sessions()] == [session.id, again.id]
            await client.end_session(again.id)


async def sessions_after_a_loss(client: Client) -> list[SessionInfo]:
    """List the sessions; a connection that was lost this very moment costs one call."""
    try:
        return await client.sessions()
    except Gone:
        return await client.sessions()


async def receive_for_ever(attached: Attached) -> None:
    while True:
        await attached.receive()


async def test_many_that_ask_for_a_first_session_at_once_get_one_host(home: Home) -> None:
    with trio.fail_after(PATIENCE):
        await start_daemon(home)
        started: list[str] = []

        async def start(client: Client) -> None:
            started.append((await client.start(["cat"])).id)

        async with open_client(home) as client, open_client(home) as other:
            async with trio.open_nursery() as nursery:
                for each in (client, other) * 4:
                    nursery.start_soon(start, each)
            assert sorted(each.id for each in await client.sessions()) == sorted(started)
            for session in started:
                await client.end_session(session)
