"""The pty: sizes, reading to the end, writes that wait, and closing under somebody's hands."""

from __future__ import annotations

import os
import termios
import tty
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.sessions.pty import READ_SIZE, Pty, open_pty
from tests.world import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Generator


@contextmanager
def raw_terminal() -> Generator[tuple[Pty, int]]:
    """Open a terminal that passes bytes on as they are; yields both of its sides."""
    pty, far = open_pty(80, 24)
    tty.setraw(far)
    try:
        yield pty, far
    finally:
        pty.close()
        os.close(far)


def fill(pty: Pty) -> int:
    """Write until no more fits; return how much did."""
    written = 0
    while count := pty.write_some_nowait(memoryview(b"x" * 4096)):
        written += count
    return written


async def fill_for_ever(pty: Pty) -> None:
    while True:
        fill(pty)
        await pty.wait_writable()


async def test_a_terminal_has_the_size_asked_for() -> None:
    pty, far = open_pty(132, 43)
    try:
        assert os.get_terminal_size(far) == (132, 43)
        pty.resize(1000, 1)
        assert os.get_terminal_size(far) == (1000, 1)
    finally:
        pty.close()
        os.close(far)


async def test_erasing_takes_whole_characters() -> None:
    pty, far = open_pty(80, 24)
    assert termios.tcgetattr(far)[0] & getattr(termios, "IUTF8", 0x4000)
    pty.close()
    os.close(far)


async def test_reading_waits_and_then_returns_all_there_is() -> None:
    with trio.fail_after(PATIENCE), raw_terminal() as (pty, far):
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def read() -> None:
                assert await pty.read() == b"one"

            await trio.testing.wait_all_tasks_blocked()
            os.write(far, b"one")
        os.write(far, b"two ")
        os.write(far, b"three")
        got = b""
        while len(got) < 9:
            got += await pty.read()
        assert got == b"two three"


async def test_a_cancelled_read_has_lost_nothing() -> None:
    with trio.fail_after(PATIENCE), raw_terminal() as (pty, far):
        with trio.move_on_after(0):
            await pty.read()
        os.write(far, b"still there")
        assert await pty.read() == b"still there"


async def test_what_was_written_is_read_before_the_end() -> None:
    pty, far = open_pty(80, 24)
    tty.setraw(far)
    with trio.fail_after(PATIENCE):
        os.write(far, b"last words")
        os.close(far)
        assert await pty.read() == b"last words"
        assert await pty.read() == b""
        assert await pty.read() == b""  # and it stays the end
    pty.close()


async def test_one_read_is_bounded() -> None:
    with trio.fail_after(PATIENCE), raw_terminal() as (pty, far):
        os.set_blocking(far, False)
        sent = 0
        while sent < 2 * READ_SIZE:
            try:
                sent += os.write(far, b"x" * 4096)
            except BlockingIOError:
                break
        assert len(await pty.read()) <= READ_SIZE


async def test_a_full_terminal_takes_no_more_until_the_program_reads() -> None:
    with trio.fail_after(PATIENCE), raw_terminal() as (pty, far):
        written = fill(pty)
        assert written > 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pty.wait_writable)
            await trio.testing.wait_all_tasks_blocked(0.02)
            while nursery.child_tasks:
                os.read(far, 4096)
                await trio.testing.wait_all_tasks_blocked(0.01)
        assert pty.write_some_nowait(memoryview(b"more")) > 0


async def test_waiting_for_room_can_be_cancelled() -> None:
    with trio.fail_after(PATIENCE), raw_terminal() as (pty, _far):
        fill(pty)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fill_for_ever, pty)
            await trio.testing.wait_all_tasks_blocked(0.02)
            nursery.cancel_scope.cancel()


async def test_writing_without_waiting_drops_what_does_not_fit() -> None:
    with raw_terminal() as (pty, _far):
        for _ in range(200):
            pty.write_nowait(b"x" * 4096)


async def test_writing_to_a_program_that_is_gone_does_not_wait() -> None:
    pty, far = open_pty(80, 24)
    os.close(far)
    data = memoryview(b"x" * 100)
    for _ in range(1000):
        assert 0 <= pty.write_some_nowait(data) <= len(data)
    pty.close()


async def test_closing_wakes_whoever_reads() -> None:
    pty, far = open_pty(80, 24)
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def read() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await pty.read()

            await trio.testing.wait_all_tasks_blocked()
            pty.close()
    os.close(far)


async def test_closing_wakes_whoever_writes() -> None:
    pty, far = open_pty(80, 24)
    tty.setraw(far)
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def write() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await fill_for_ever(pty)

            await trio.testing.wait_all_tasks_blocked(0.02)
            pty.close()
    os.close(far)


async def test_after_closing_nothing_touches_a_descriptor_that_may_be_somebody_elses() -> None:
    pty, far = open_pty(80, 24)
    os.close(far)
    pty.close()
    pty.close()
    with pytest.raises(trio.ClosedResourceError):
        await pty.read()
    with pytest.raises(trio.ClosedResourceError):
        pty.write_some_nowait(memoryview(b"x"))
    with pytest.raises(trio.ClosedResourceError):
        await pty.wait_writable()
    pty.write_nowait(b"x")
    assert pty.foreground_group is None
