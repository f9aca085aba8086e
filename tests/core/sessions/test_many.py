"""Many sessions at once: all of them work, the list fits, and what is too much is refused."""

from __future__ import annotations

import resource
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import pytest
import trio

from loopsy_core.client import open_host_client
from loopsy_core.errors import Busy
from loopsy_core.sessions.listing import MOST, fitting_list
from loopsy_core.sessions.registry import MAX_ALIVE, MAX_ENDED
from loopsy_core.wire import SessionInfo, encode
from tests.core.sessions.stage import open_stage
from tests.depth import deep
from tests.world import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from loopsy_core.client import Client
    from loopsy_core.home import Home

MANY: Final = 250
LIMIT: Final = deep(200, MAX_ALIVE)
"""Sessions that a host has at most; in `nox -s deep` it is the real limit, which takes long."""
FILES: Final = deep(256, 1024)
"""Descriptors that a process may have at first: fewer than so many sessions take."""
WITH_LIMITS: Final = """
import resource, sys
from pathlib import Path
soft, hard, most = map(int, sys.argv[2:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
from loopsy_core.sessions import registry
from loopsy_core.sessions.host import main
registry.MAX_ALIVE = most
main(Path(sys.argv[1]))
"""


def infos(name: str, text: str) -> list[SessionInfo]:
    return [
        SessionInfo(
            id=f"{number:08x}",
            name=name,
            kind="opencode",
            alive=number >= MAX_ENDED,
            created_at=1.5e9,
            cols=1000,
            rows=1000,
            viewers=64,
            title=text,
            exit_code=None,
            argv=[text],
            cwd=text,
            lost="the session host ended unexpectedly",
            ended_at=1.5e9,
        )
        for number in range(MAX_ALIVE + MAX_ENDED)
    ]


@pytest.mark.parametrize(("letter", "names"), [("a", 8), ("a", 64), ("\N{GRINNING FACE}", 64)])
@pytest.mark.parametrize("texts", [0, 12, 256])
def test_a_list_of_as_many_as_there_may_be_fits_one_value(
    letter: str, names: int, texts: int
) -> None:
    everything = infos(letter * names, letter * texts)
    listed = fitting_list(everything)
    assert len(encode(listed)) <= MOST
    alive = [info.id for info in everything if info.alive]
    assert [info.id for info in listed.sessions if info.alive] == alive
    assert fitting_list(everything[:70]).sessions == everything[:70]


def test_a_list_is_cut_no_more_than_it_must_be() -> None:
    everything = infos("cat-1000", "x" * 40)
    listed = fitting_list(everything).sessions
    cut = msgspec.structs.replace(everything[0], argv=["x" * 16], cwd="x" * 16, title="x" * 16)
    assert listed[0] == cut
    assert len(listed) == len(everything)


async def test_hundreds_of_sessions_run_side_by_side() -> None:
    async with open_stage() as stage:
        client = stage.client
        sessions = [await stage.start("cat", "-u", "-", "x" * 200) for _ in range(MANY)]
        async with stage.client.watch_sessions() as lists:
            assert [each.id for each in (await anext(lists)).sessions] == [s.id for s in sessions]
        async with stage.attach(sessions[0]) as first, stage.attach(sessions[-1]) as last:
            for seat in (first, last):
                await seat.type(b"hello\r")
                await seat.until(b"hello\r\nhello")
        async with trio.open_nursery() as nursery:
            for session in sessions:
                nursery.start_soon(client.end_session, session.id)
        async with client.watch_sessions() as lists:
            async for now in lists:
                if len(now.sessions) == MAX_ENDED:
                    break


@asynccontextmanager
async def host_with_limits(
    home: Home, soft: int, hard: int, most: int = MAX_ALIVE
) -> AsyncGenerator[Client]:
    """Run a host that may have `soft` descriptors at first, and as many as `hard` if it asks.

    It has `most` sessions at most.
    """
    limits = map(str, (soft, hard, most))
    command = [sys.executable, "-c", WITH_LIMITS, str(home.root), *limits]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: ASYNC220
        try:
            assert process.stdout is not None
            assert await trio.to_thread.run_sync(process.stdout.readline) == b"ready\n"
            async with open_host_client(home) as client:
                yield client
        finally:
            process.terminate()


async def start_many(client: Client, count: int) -> None:
    for _ in range(count):
        await client.start(["cat"])


async def end_all(client: Client, sessions: Sequence[SessionInfo]) -> None:
    at_once = trio.CapacityLimiter(200)  # a connection may have 256 calls open

    async def end(session: SessionInfo) -> None:
        async with at_once:
            assert not (await client.end_session(session.id)).alive

    async with trio.open_nursery() as nursery:
        for session in sessions:
            nursery.start_soon(end, session)


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 8192, reason="too few of them")
async def test_as_many_sessions_as_there_may_be_work_and_one_more_is_refused(home: Home) -> None:
    with trio.fail_after(3 * PATIENCE):
        async with host_with_limits(home, FILES, 8192, LIMIT) as client:
            await start_many(client, LIMIT)
            with pytest.raises(Busy, match=f"{LIMIT} sessions run already; end some first"):
                await client.start(["cat"])
            sessions = await client.sessions()
            assert len({session.id for session in sessions if session.alive}) == LIMIT
            async with client.attach(sessions[LIMIT // 2].id, cols=80, rows=24) as (attached, _):
                await attached.type(b"hello\r")
                seen = b""
                while b"hello\r\nhello" not in seen:
                    shown = await attached.receive()
                    seen += shown if isinstance(shown, bytes) else b""
            await end_all(client, sessions)
            async with client.watch_sessions() as lists:
                async for now in lists:
                    if len(now.sessions) == MAX_ENDED:
                        break
            assert b"there" in await output_of(client, ["sh", "-c", "echo there; cat"], b"there")


async def output_of(client: Client, argv: Sequence[str], until: bytes) -> bytes:
    session = await client.start(argv)
    seen = b""
    async with client.attach(session.id, cols=80, rows=24) as (attached, drawn):
        seen += drawn.vt if drawn is not None else b""
        while until not in seen:
            shown = await attached.receive()
            seen += shown if isinstance(shown, bytes) else b""
    return seen


async def test_a_host_takes_the_descriptors_that_it_needs_and_programs_get_the_usual(
    home: Home,
) -> None:
    with trio.fail_after(PATIENCE):
        async with host_with_limits(home, 64, 4096) as client:
            await start_many(client, 40)
            script = 'echo "limits $(ulimit -Sn) $(ulimit -Hn) end"; cat'
            assert b"limits 64 4096 end" in await output_of(client, ["sh", "-c", script], b" end")


def pidfds(home: Home) -> int:
    """Return how many programs the host of `home` waits for without a thread."""
    descriptors = Path("/proc", home.host_lock.read_text().strip(), "fd").iterdir()
    return sum("[pidfd]" in str(each.readlink()) for each in descriptors)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_no_program_costs_a_thread_beyond_the_limit_at_first(home: Home) -> None:
    with trio.fail_after(PATIENCE):
        async with host_with_limits(home, 64, 4096) as client:
            await start_many(client, 40)
            assert pidfds(home) == 40 + 1  # and that of the emulator


async def test_a_host_without_descriptors_says_so_and_goes_on(home: Home) -> None:
    with trio.fail_after(PATIENCE):
        async with host_with_limits(home, 64, 64) as client:
            with pytest.raises(Busy, match="Too many open files"):
                await start_many(client, 40)
            sessions = await client.sessions()
            assert 10 < len(sessions) < 40
            assert all(session.alive for session in sessions)
            for session in sessions[:3]:
                assert not (await client.end_session(session.id)).alive
            assert b"there" in await output_of(client, ["sh", "-c", "echo there; cat"], b"there")
