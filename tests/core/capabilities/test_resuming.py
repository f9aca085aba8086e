"""Connections that are cut in the middle: what has arrived is not sent again, and all arrives."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.client import Client, Pulling, Sending, keep_moving
from loopsy_core.errors import BadRequest, Gone
from loopsy_core.wire.transfer import RESUMABLE
from tests.core.capabilities.files_world import OLD, Machine, names, parts, tree, when_bytes
from tests.world import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from loopsy_core.client import Moved, Moving, Progress

LARGE = 8 * RESUMABLE


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, None, None)


def moving(
    machine: Machine, direction: str, on_progress: Callable[[Progress], object] | None = None
) -> Moving:
    """Return the moving of `in` from here to there, or of the same from there to here."""
    if direction == "send":
        return Sending([machine.here / "in"], machine.there, on_progress=on_progress)
    return Pulling([machine.here / "in"], machine.there, on_progress=on_progress)


both_ways = pytest.mark.parametrize("direction", ["send", "pull"])


@both_ways
async def test_a_large_file_goes_on_where_it_was_cut(machine: Machine, direction: str) -> None:
    data = machine.make("in", LARGE)
    moved_bytes = [0]
    machine.count_data(moved_bytes)
    cut = when_bytes(LARGE // 2, lambda: machine.pipe.cut())
    with trio.fail_after(PATIENCE):
        moved = await keep_moving(moving(machine, direction, cut), machine.reach)
    assert (moved.files, moved.bytes) == (1, LARGE)
    assert (machine.there / "in").read_bytes() == data
    assert machine.connections == 2
    # What was under way when it was cut is sent again, and that is bounded.
    assert LARGE <= moved_bytes[0] < LARGE + LARGE // 2
    assert not parts(machine.there)


@both_ways
async def test_a_folder_goes_on_behind_the_last_file_that_is_kept(
    machine: Machine, direction: str
) -> None:
    for number in range(1200):
        machine.make(f"in/{number % 20:02}/{number:04}", 5_000)
    machine.make("in/18/large", LARGE)
    cut = when_bytes(4_000_000, lambda: machine.pipe.cut())
    counted: list[bytes] = []
    machine.count_small(counted)
    with trio.fail_after(PATIENCE):
        moved = await keep_moving(moving(machine, direction, cut), machine.reach)
    assert (moved.files, moved.bytes) == (1201, 1200 * 5_000 + LARGE)
    assert tree(machine.there / "in") == tree(machine.here / "in")
    assert machine.connections == 2
    # Of the 800 that came before the cut, only those are sent again that were under way.
    assert 1200 <= len(counted) < 1200 + 500


@both_ways
async def test_it_survives_any_number_of_cuts(machine: Machine, direction: str) -> None:
    data = machine.make("in", LARGE)
    done = [0]

    def cut_each_megabyte(progress: Progress) -> None:
        if progress.bytes // RESUMABLE > done[0]:
            done[0] = progress.bytes // RESUMABLE
            machine.pipe.cut()

    with trio.fail_after(PATIENCE):
        await keep_moving(moving(machine, direction, cut_each_megabyte), machine.reach)
    assert (machine.there / "in").read_bytes() == data
    assert machine.connections > 3


@both_ways
async def test_a_part_that_was_tampered_with_is_not_gone_on_with(
    machine: Machine, direction: str
) -> None:
    data = machine.make("in", LARGE)

    def tamper() -> None:
        machine.pipe.cut()
        [part] = parts(machine.there)
        with part.open("r+b") as file:
            file.write(b"other")

    on_progress = when_bytes(LARGE // 2, tamper)
    with trio.fail_after(PATIENCE):
        await keep_moving(moving(machine, direction, on_progress), machine.reach)
    assert (machine.there / "in").read_bytes() == data


async def test_a_source_that_changed_meanwhile_is_sent_as_it_is_now(machine: Machine) -> None:
    machine.make("in", LARGE)
    new = b""

    def change() -> None:
        nonlocal new
        machine.pipe.cut()
        new = machine.make("in", LARGE)  # of the same size and time: only the digest tells

    with trio.fail_after(PATIENCE):
        sending = moving(machine, "send", when_bytes(LARGE // 2, change))
        await keep_moving(sending, machine.reach)
    assert (machine.there / "in").read_bytes() == new


@both_ways
async def test_the_same_command_goes_on_where_another_was_interrupted(
    machine: Machine, direction: str
) -> None:
    data = machine.make("in", LARGE)
    with trio.fail_after(PATIENCE), trio.CancelScope() as interrupted:
        first = moving(machine, direction, when_bytes(LARGE // 2, interrupted.cancel))
        await keep_moving(first, machine.reach)
    assert interrupted.cancelled_caught
    [part] = parts(machine.there)
    assert part.stat().st_mode & 0o777 == 0o600
    assert names(machine.there) == [part.name]
    moved_bytes = [0]
    machine.count_data(moved_bytes)
    with trio.fail_after(PATIENCE):
        await keep_moving(moving(machine, direction), machine.reach)
    assert (machine.there / "in").read_bytes() == data
    assert moved_bytes[0] < LARGE
    assert names(machine.there) == ["in"]


async def test_who_cannot_be_reached_at_all_is_told_at_once(machine: Machine) -> None:
    machine.make("in")

    @asynccontextmanager
    async def unreachable() -> AsyncGenerator[Client]:
        raise Gone("nobody is there")
        yield

    with trio.fail_after(1), pytest.raises(Gone, match="nobody is there"):
        await keep_moving(moving(machine, "send"), unreachable)


async def test_after_a_minute_without_a_connection_it_gives_up(
    machine: Machine, autojump_clock: trio.testing.MockClock
) -> None:
    class Cut(Sending):
        async def over(self, client: Client) -> Moved:
            self.tries = getattr(self, "tries", 0) + 1
            raise Gone("cut")

    machine.make("in")
    sending = Cut([machine.here / "in"], machine.there)
    with pytest.raises(Gone):
        await keep_moving(sending, machine.reach)
    assert 60 < trio.current_time() < 70
    assert 10 < sending.tries < 40


@both_ways
async def test_what_is_wrong_otherwise_is_not_tried_again(machine: Machine, direction: str) -> None:
    machine.make("in", LARGE)
    (machine.there / "in").mkdir()
    with trio.fail_after(PATIENCE), pytest.raises(BadRequest, match="is a folder there already"):
        await keep_moving(moving(machine, direction), machine.reach)
    assert machine.connections == 1


async def test_progress_says_how_far_it_is(machine: Machine) -> None:
    for number in range(30):
        machine.make(f"in/{number}", 1000)
    machine.make("in/large", LARGE)
    seen: list[tuple[int, int, str]] = []

    def note(progress: Progress) -> None:
        seen.append((progress.files, progress.bytes, progress.path))

    with trio.fail_after(PATIENCE):
        sending = Sending([machine.here / "in"], machine.there, on_progress=note)
        await keep_moving(sending, machine.reach)
    assert seen == sorted(seen, key=lambda each: each[:2])
    assert seen[-1][:2] == (31, 30_000 + LARGE)
    assert {path for _, _, path in seen} >= {"in/0", "in/large"}
    assert (sending.progress.total_files, sending.progress.total_bytes) == (31, 30_000 + LARGE)
    assert (machine.there / "in" / "large").stat().st_mtime_ns == OLD
