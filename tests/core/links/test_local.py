"""Unix sockets, for real: whose they are, what lies in their place, and callers of every kind."""

from __future__ import annotations

import socket
import stat
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.errors import Gone, LoopsyError
from loopsy_core.links import Channel, connect_local, open_conversation, serve_local
from loopsy_core.links import local as local_sockets
from loopsy_core.wire import encode_frames
from tests.core.links.links_world import Tell, Told, echo
from tests.play import pieces

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

PATIENCE = 20.0  # seconds for anything here, on a busy machine


async def repeat(channel: Channel) -> None:
    """Send back what comes."""
    while True:
        await channel.send(await channel.receive())


@asynccontextmanager
async def served(
    path: Path, serve: Callable[[Channel], Awaitable[None]] = repeat
) -> AsyncGenerator[trio.Nursery]:
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            await nursery.start(serve_local, path, serve)
            yield nursery
            nursery.cancel_scope.cancel()


async def is_answered(path: Path, said: bytes = b"hello") -> bool:
    channel = await connect_local(path)
    try:
        await channel.send([said])
        return await channel.receive() == [said]
    finally:
        await channel.aclose()


def raw(path: Path) -> socket.socket:
    """Return a plain socket, for what a channel would never send."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(path))
    return sock


async def test_a_socket_is_its_users_alone(tmp_path: Path) -> None:
    path = tmp_path / "node.sock"
    async with served(path):
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert await is_answered(path)
    assert not path.exists()


async def test_a_caller_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "node.sock"
    async with served(path):
        assert await is_answered(path)
        monkeypatch.setattr(local_sockets.os, "getuid", lambda: 12345)
        with pytest.raises(Gone):
            await is_answered(path)
        monkeypatch.undo()
        assert await is_answered(path)
    assert "another user" in caplog.text


async def test_nobody_there_is_gone(tmp_path: Path) -> None:
    with pytest.raises(Gone, match="nothing answers"):
        await connect_local(tmp_path / "nowhere.sock")
    (tmp_path / "file").write_text("no socket")
    with pytest.raises(Gone, match="nothing answers"):
        await connect_local(tmp_path / "file")


async def test_the_socket_of_a_dead_one_is_gone_and_can_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "node.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(Gone, match="nothing answers"):
        await connect_local(path)
    async with served(path):
        assert await is_answered(path)


async def test_any_file_in_its_place_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "node.sock"
    path.write_text("left by somebody")
    async with served(path):
        assert await is_answered(path)


@pytest.mark.parametrize("length", [106, 107, 108, 109, 200, 900])
async def test_a_path_may_be_longer_than_an_address(
    tmp_path_factory: pytest.TempPathFactory, length: int
) -> None:
    folder = tmp_path_factory.mktemp("long")
    missing = length - len(str(folder / "node.sock"))
    for part in pieces(b"f" * (missing - missing // 100), [99]):
        folder /= part.decode()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "node.sock"
    assert abs(len(str(path)) - length) <= 1
    async with served(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert await is_answered(path)
    assert not path.exists()


async def test_where_no_socket_can_be_the_reason_is_said(tmp_path: Path) -> None:
    with pytest.raises(LoopsyError, match="cannot listen"):
        await serve_local(tmp_path / "no such folder" / "node.sock", repeat)
    with pytest.raises(LoopsyError, match="cannot listen"):
        await serve_local(tmp_path / "no such folder" / ("x" * 200), repeat)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\xff\xff\xff\xff",
        b"\0\0\0\0",
        b"\0\x10\0\1" + bytes(100_000),
        b"\0\0\0\5hel",
        encode_frames([b"good"]) + b"\xff\xff\xff\xff" + bytes(200_000),
    ],
    ids=["nothing", "HTTP", "4 GiB", "0 bytes", "1 MiB + 1", "half a message", "good, then bad"],
)
async def test_what_one_caller_sends_costs_nobody_else_anything(
    tmp_path: Path, said: bytes
) -> None:
    path = tmp_path / "node.sock"
    async with served(path):
        patient = await connect_local(path)
        for _ in range(5):
            with raw(path) as caller:
                caller.setblocking(False)
                # It may be hung up on already.
                with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                    caller.sendall(said)
                assert await is_answered(path)
        await patient.send([b"still there?"])
        assert await patient.receive() == [b"still there?"]
        await patient.aclose()


async def test_a_caller_whose_claim_is_too_large_is_hung_up_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "node.sock"
    async with served(path):
        stream = await trio.open_unix_socket(path)
        await stream.send_all(b"\xff\xff\xff\xff")
        assert await stream.receive_some(10) == b""
        await stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
    [line] = [record.getMessage() for record in caplog.records]
    assert "4294967295" in line


@pytest.mark.logs_errors
async def test_a_bug_in_serving_one_caller_ends_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def serve(channel: Channel) -> None:
        [said] = await channel.receive()
        if said == b"bug":
            raise ZeroDivisionError("of all things")
        await channel.send([said])

    path = tmp_path / "node.sock"
    async with served(path, serve):
        with pytest.raises(Gone):
            await is_answered(path, b"bug")
        assert await is_answered(path)
    assert "of all things" in caplog.text


async def test_two_hundred_callers_at_once_are_all_answered(tmp_path: Path) -> None:
    async def serve(channel: Channel) -> None:
        async with open_conversation(channel, opener=False, answer=echo) as ours:
            await ours.wait_closed()

    path = tmp_path / "node.sock"
    answered: set[str] = set()
    together = trio.Event()
    async with served(path, serve), trio.open_nursery() as nursery:
        for number in range(200):

            @nursery.start_soon
            async def call(number: int = number) -> None:
                async with open_conversation(await connect_local(path), opener=True) as ours:
                    answered.add((await ours.ask(Tell(text=str(number)))).text)
                    if len(answered) == 200:
                        together.set()
                    await together.wait()  # all of them are there at the same time

    assert answered == {f"tell:{number}" for number in range(200)}


async def test_a_listener_that_accepts_nobody_any_more_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "node.sock"
    with socket.socket(socket.AF_UNIX) as stuck, trio.fail_after(PATIENCE):
        stuck.bind(str(path))
        stuck.listen(0)
        waiting = await connect_local(path)  # the system lets one in, whatever the backlog
        with pytest.raises(Gone, match="nothing answers"):
            await connect_local(path)
        await waiting.aclose()


async def test_last_words_arrive_though_the_socket_is_closed_right_after(tmp_path: Path) -> None:
    told = trio.Event()

    async def serve(channel: Channel) -> None:
        async with open_conversation(channel, opener=False, answer=echo_and_leave):
            await told.wait()

    async def echo_and_leave(_asked: object) -> Told:
        told.set()
        return Told("x" * 500_000)  # more than a socket buffers

    path = tmp_path / "node.sock"
    async with (
        served(path, serve),
        open_conversation(await connect_local(path), opener=True) as ours,
    ):
        assert len((await ours.ask(Tell())).text) == 500_000
        await ours.wait_closed()


async def test_whoever_connects_can_be_cancelled(tmp_path: Path) -> None:
    path = tmp_path / "node.sock"
    async with served(path):
        with trio.CancelScope() as scope:
            scope.cancel()
            await connect_local(path)
        assert scope.cancelled_caught
        assert await is_answered(path)
