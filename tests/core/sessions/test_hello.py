"""Nodes and hosts of different versions: what is served, what is refused, and who makes way."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, cast

import msgspec
import pytest
import trio

import loopsy_core
from loopsy_core.client import Client, open_client, open_host_client
from loopsy_core.errors import BadRequest, LoopsyError, Misconfigured
from loopsy_core.home import lock_file
from loopsy_core.kit import open_detached
from loopsy_core.links import open_conversation, serve_local
from loopsy_core.node import node as node_module
from loopsy_core.node import open_node
from loopsy_core.sessions import reach
from loopsy_core.sessions.hello import KNOWN, host_info
from loopsy_core.sessions.host import Host
from loopsy_core.sessions.registry import open_sessions
from loopsy_core.wire import (
    OPERATIONS,
    HostHello,
    HostInfo,
    RenameSession,
    SessionInfo,
    ShowScreen,
    StartSession,
    StopNode,
)
from tests.core.sessions.emulators import near_emulator
from tests.core.sessions.stage import LOG
from tests.world import PATIENCE, eventually, holder_of, memory_channels, open_talk

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from trio.testing import MockClock

    from loopsy_core.home import Home
    from loopsy_core.links import Asked, Channel

OLD_HOST: Final = """
import sys
from pathlib import Path
import loopsy_core
loopsy_core.__version__ = "0.0.9"
from loopsy_core.sessions import host
host.main(Path(sys.argv[1]))
"""


class OtherHost(Host):
    """A host of another version: says what it likes, and lacks what it likes."""

    says: HostInfo | None = None
    lacks: frozenset[str] = frozenset()
    silent = False
    callers = 0

    async def serve(self, channel: Channel) -> None:
        self.callers += 1
        try:
            await super().serve(channel)
        finally:
            self.callers -= 1

    async def answer(self, asked: Asked) -> object:
        if self.silent:
            await trio.sleep_forever()
        if asked.op in self.lacks:
            raise BadRequest(f"a session host does not know {asked.op!r}")
        if asked.op == HostHello.op and self.says is not None:
            return self.says
        return await super().answer(asked)


@asynccontextmanager
async def other_host(
    home: Home, says: HostInfo | None = None, lacks: frozenset[str] = frozenset()
) -> AsyncGenerator[OtherHost]:
    """Run a host of another version on the socket of `home`."""
    async with open_sessions(LOG, home.sessions) as sessions, trio.open_nursery() as nursery:
        host = OtherHost(sessions)
        host.says, host.lacks = says, lacks
        await nursery.start(serve_local, home.host_socket, host.serve)
        yield host
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def upgraded_node(home: Home, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Client]:
    """Run a node here that takes itself for version 99."""
    for module in (node_module, reach):
        monkeypatch.setattr(module, "__version__", "99.0")
    async with open_node(home), open_client(home) as client:
        yield client


def info(**different: object) -> HostInfo:
    return msgspec.structs.replace(host_info(0), **different)


def bare(op: str) -> HostHello:
    """Return a request for `op` without any params."""
    return cast("HostHello", type("Bare", (HostHello,), {"op": op})())


async def test_a_host_knows_what_it_says_that_it_knows_and_nothing_else() -> None:
    async with open_sessions(LOG) as sessions, open_talk(Host(sessions).answer) as (talk, _):
        hello = await talk.ask(HostHello())
        assert hello.operations == list(KNOWN)
        assert (hello.version, hello.pid) == (loopsy_core.__version__, os.getpid())
        assert hello.sessions == 0
        if sys.platform == "linux":
            assert hello.memory is not None
            assert 1e6 < hello.memory < 1e10
        for op in OPERATIONS.keys() - KNOWN:
            with pytest.raises(BadRequest, match=f"version .* does not know '{op}'"):
                await talk.ask(bare(op))
        for op in KNOWN:
            said = ""
            try:
                with trio.move_on_after(0.1):  # to watch is never over
                    await talk.ask(bare(op))
            except LoopsyError as error:
                said = str(error)
            assert "does not know" not in said


async def test_an_older_host_ignores_what_it_does_not_know_of_a_request() -> None:
    class Newer(StartSession, frozen=True, kw_only=True):
        colour: str = "red"

    async with open_sessions(LOG) as sessions, open_talk(Host(sessions).answer) as (talk, _):
        session = await talk.ask(Newer(argv=["cat"], name="pet"))
        assert isinstance(session, SessionInfo)
        assert (session.name, session.alive) == ("pet", True)


async def test_an_older_host_serves_what_it_has_and_what_it_lacks_is_told(home: Home) -> None:
    lacks = frozenset({RenameSession.op})
    says = info(version="0.0.9", operations=[op for op in KNOWN if op not in lacks])
    with trio.fail_after(PATIENCE):
        async with (
            other_host(home, says, lacks),
            open_host_client(home) as direct,
            open_node(home),
            open_client(home) as client,
        ):
            session = await direct.start(["cat"])
            assert [each.id for each in await client.sessions()] == [session.id]
            assert (await client.ask(ShowScreen(session=session.id))).cols == 80
            with pytest.raises(BadRequest, match=r"0\.0\.9 .* 'sessions.rename'; `loopsy stop"):
                await client.ask(RenameSession(session=session.id, name="new"))
            assert (await client.status()).host == says


async def test_a_host_from_before_the_hello_serves_what_it_has(home: Home) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            other_host(home, lacks=frozenset({HostHello.op})),
            open_host_client(home) as direct,
            open_node(home),
            open_client(home) as client,
        ):
            session = await direct.start(["cat"])
            assert [each.id for each in await client.sessions()] == [session.id]
            another = await client.start(["cat"])
            assert len(await direct.sessions()) == 2
            status = await client.status()
            assert status.sessions == 2
            assert status.host == HostInfo(1, "", None, 2, None, [])
            await client.end_session(another.id)


async def test_calls_that_are_dropped_before_a_host_has_said_hello_leave_no_connection_behind(
    home: Home,
) -> None:
    with trio.fail_after(PATIENCE):
        async with other_host(home) as host, open_node(home), open_client(home) as client:
            await client.start(["cat"])
            await client.status()
            watching = host.callers
            host.silent = True
            async with open_client(home) as impatient:
                for _ in range(5):
                    with trio.move_on_after(0.05):
                        await impatient.sessions()
                await eventually(lambda: host.callers == watching)
            host.silent = False
            assert len(await client.sessions()) == 1


async def test_a_host_of_a_newer_protocol_is_refused_and_left_alone(home: Home) -> None:
    says = info(version="7.0", protocol=HostHello.protocol + 1, sessions=1)
    with trio.fail_after(PATIENCE):
        async with (
            other_host(home, says),
            open_host_client(home) as direct,
            open_node(home),
            open_client(home) as client,
        ):
            session = await direct.start(["cat"])
            for ask in (client.sessions, lambda: client.start(["cat"])):
                with pytest.raises(Misconfigured, match=r"Loopsy 7\.0 .*newer than this daemon"):
                    await ask()
            status = await client.status()
            assert (status.host, status.sessions) == (says, 1)
            assert (await client.ask(StopNode())).sessions == 1
            [left] = await direct.sessions()
            assert (left.id, left.alive) == (session.id, True)


@asynccontextmanager
async def old_host(home: Home) -> AsyncGenerator[int]:
    """Run a host of version 0.0.9 as a process; yields its id."""
    async with open_detached(["-c", OLD_HOST, str(home.root)], home.host_log) as host:
        assert await host.first_line() == b"ready\n"
        try:
            yield host.pid
        finally:
            with trio.CancelScope(shield=True):
                if holder_of(home.host_lock) == host.pid:
                    os.kill(host.pid, signal.SIGTERM)
                await trio.to_thread.run_sync(os.waitpid, host.pid, 0)


async def test_an_older_host_keeps_all_sessions_while_any_runs_and_then_makes_way(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trio.fail_after(PATIENCE):
        async with old_host(home) as old:
            async with open_host_client(home) as direct:
                first = await direct.start(["cat"], name="first")
            async with (
                upgraded_node(home, monkeypatch) as client,
                open_client(home) as onlooker,
                onlooker.watch_sessions() as lists,  # as a phone that is always there
            ):
                assert [each.id for each in (await anext(lists)).sessions] == [first.id]
                second = await client.start(["sh", "-c", "echo bye; read x"], name="second")
                status = await client.status()
                assert status.host is not None
                assert (status.host.pid, status.host.version) == (old, "0.0.9")
                assert status.sessions == 2
                for session in (first, second):
                    await client.end_session(session.id)

                third = await client.start(["cat"], name="third")

                status = await client.status()
                assert status.host is not None
                assert status.host.pid not in (None, old)
                assert status.host.version == loopsy_core.__version__
                listed = await client.sessions()
                assert [(each.name, each.alive, each.lost) for each in listed] == [
                    ("first", False, None),
                    ("second", False, None),
                    ("third", True, None),
                ]
                # Version 99 itself has started this one, which is what lies on the disk: it stays.
                await client.end_session(third.id)
                last = await client.start(["cat"])
                assert (await client.status()).host.pid == status.host.pid  # type: ignore[union-attr]
                await client.end_session(last.id)


async def test_a_host_that_is_just_leaving_is_waited_for(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = trio.Event()

    def look(path: Path) -> AbstractContextManager[None]:
        looked.set()
        return lock_file(path)

    monkeypatch.setattr(reach, "lock_file", look)
    with trio.fail_after(PATIENCE):
        async with open_node(home), open_client(home) as client, trio.open_nursery() as nursery:
            with lock_file(home.host_lock):  # as a host that has hung up, and writes its records
                nursery.start_soon(client.start, ["cat"])
                await looked.wait()
            await eventually(lambda: holder_of(home.host_lock) is not None)
        async with open_host_client(home) as direct:
            [session] = await direct.sessions()
            await direct.end_session(session.id)


async def test_who_is_told_to_leave_does_so_at_once_but_not_while_something_runs(
    autojump_clock: MockClock,
) -> None:
    async with (
        open_sessions(LOG, start_emulator=near_emulator) as sessions,
        trio.open_nursery() as nursery,
    ):
        host = Host(sessions)
        _, idle_caller = memory_channels()
        nursery.start_soon(host.serve, idle_caller)
        session = await sessions.start(StartSession(argv=["cat"]))
        for running in (1, 0):
            near, far = memory_channels()
            nursery.start_soon(host.serve, far)
            async with open_conversation(near, opener=True) as talk:
                assert (await talk.ask(StopNode())).sessions == running
            with trio.move_on_after(20) as while_others_are_there:
                await host.wait_idle()
            assert while_others_are_there.cancelled_caught == (running == 1)
            await sessions.find(session.id).end()
        nursery.cancel_scope.cancel()
