"""Reading a socket only once there is something, and other streams as they are."""

from __future__ import annotations

import socket
import struct

import pytest
import trio
import trio.testing

from loopsy_core.kit import receive_into, receive_ready

MOST = 100


def stream_pair() -> tuple[trio.SocketStream, socket.socket]:
    ours, theirs = socket.socketpair()
    return trio.SocketStream(trio.socket.from_stdlib_socket(ours)), theirs


async def test_what_has_come_is_read_at_once_and_no_more_than_was_asked_for() -> None:
    stream, theirs = stream_pair()
    with theirs, trio.fail_after(5):
        theirs.send(b"x" * (MOST + 1))
        with trio.testing.assert_checkpoints():
            assert await receive_ready(stream, MOST) == b"x" * MOST
        assert await receive_ready(stream, MOST) == b"x"
    await stream.aclose()


async def test_what_comes_later_is_waited_for_and_its_end_is_told() -> None:
    stream, theirs = stream_pair()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                await trio.testing.wait_all_tasks_blocked()
                theirs.send(b"late")

            nursery.start_soon(send)
            assert await receive_ready(stream, MOST) == b"late"
        theirs.close()
        assert await receive_ready(stream, MOST) == b""
    await stream.aclose()


async def test_cancelling_loses_nothing() -> None:
    stream, theirs = stream_pair()
    with theirs, trio.fail_after(5):
        with trio.move_on_after(0):
            await receive_ready(stream, MOST)
        theirs.send(b"still here")
        with trio.CancelScope() as scope:
            scope.cancel()
            await receive_ready(stream, MOST)
        assert scope.cancelled_caught
        assert await receive_ready(stream, MOST) == b"still here"
    await stream.aclose()


async def test_a_stream_closed_before_or_meanwhile_says_so() -> None:
    stream, theirs = stream_pair()
    with theirs, trio.fail_after(5):
        async with trio.open_nursery() as nursery:

            async def close() -> None:
                await trio.testing.wait_all_tasks_blocked()
                await trio.aclose_forcefully(stream)

            nursery.start_soon(close)
            with pytest.raises(trio.ClosedResourceError):
                await receive_ready(stream, MOST)
        with pytest.raises(trio.ClosedResourceError):
            await receive_ready(stream, MOST)


async def test_a_connection_that_was_reset_is_broken() -> None:
    with trio.fail_after(5):
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        with socket.create_connection(listener.socket.getsockname()) as theirs:
            stream = await listener.accept()
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with pytest.raises(trio.BrokenResourceError):
            await receive_ready(stream, MOST)
        await stream.aclose()
        await listener.aclose()


async def test_other_streams_are_read_as_they_are() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(b"in memory")
    assert await receive_ready(ours, MOST) == b"in memory"
    await theirs.send_all(b"more")
    space = memoryview(bytearray(MOST))
    assert await receive_into(ours, space) == 4
    assert space[:4] == b"more"


async def test_a_socket_is_read_right_into_its_place() -> None:
    stream, theirs = stream_pair()
    with theirs, trio.fail_after(5):
        theirs.send(b"x" * MOST + b"y")
        space = memoryview(bytearray(MOST))
        assert await receive_into(stream, space) == MOST
        assert space == b"x" * MOST
        assert await receive_into(stream, space) == 1
        assert space[:1] == b"y"
        theirs.close()
        assert await receive_into(stream, space) == 0
    await stream.aclose()
