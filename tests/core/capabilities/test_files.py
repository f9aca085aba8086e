"""Files and folders to a machine and from it: whole, verified, with modes, times and links."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.errors import BadRequest, Busy, LoopsyError, NotFound, Refused
from loopsy_core.wire.transfer import RESUMABLE, SMALL
from tests.core.capabilities.files_world import OLD, Machine, names, parts, tree, when_bytes
from tests.world import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from loopsy_core.client import Moved

SIZES = (0, 1, SMALL, SMALL + 1, RESUMABLE - 1, RESUMABLE, 3 * RESUMABLE + 17)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, None, None)


async def send(machine: Machine, *paths: str, dest: str | None = None) -> Moved:
    with trio.fail_after(PATIENCE):
        async with machine.reach() as client:
            sources = [machine.here / path for path in paths]
            return await client.send(sources, machine.there if dest is None else dest)


async def pull(machine: Machine, *paths: str, dest: Path | str) -> Moved:
    with trio.fail_after(PATIENCE):
        async with machine.reach() as client:
            return await client.pull([machine.there / path for path in paths], dest)


def make_folder(machine: Machine) -> int:
    """Make a folder with everything in it that there may be; return how many files it has."""
    for size in SIZES:
        machine.make(f"in/sizes/{size}", size)
    odd = [
        b"in/\xff\xfe",
        b"in/a b\n\x1b[31m",
        "in/\u00e9\u0301\U0001f40d".encode(),
        b"in/" + b"x" * 255,
    ]
    for name in odd:
        machine.make(name)
    machine.make("in/deep/" + "d/" * 20 + "file")
    machine.make("in/program", mode=0o755)
    machine.make("in/private", mode=0o600)
    machine.make("in/read-only", mode=0o444)
    (machine.here / "in" / "empty").mkdir()
    (machine.here / "in" / "link").symlink_to("sizes/1")
    (machine.here / "in" / "deep" / "up").symlink_to("../sizes")
    (machine.here / "in" / "broken").symlink_to("nowhere")
    for folder, mode in (("deep", 0o700), ("empty", 0o711)):
        (machine.here / "in" / folder).chmod(mode)
    for folder, _, _ in os.walk(machine.here / "in", topdown=False):
        os.utime(folder, ns=(OLD, OLD))
    return len(SIZES) + len(odd) + 4


async def test_a_folder_arrives_as_it_is_and_comes_back_the_same(machine: Machine) -> None:
    count = make_folder(machine)
    sent = await send(machine, "in")
    assert (sent.files, sent.skipped) == (count, ())
    assert tree(machine.there / "in") == tree(machine.here / "in")
    assert (machine.there / "in").stat().st_mtime_ns == OLD
    fetched = await pull(machine, "in", dest=machine.here / "back")
    assert (fetched.files, fetched.bytes) == (count, sent.bytes)
    assert tree(machine.here / "back") == tree(machine.here / "in")
    assert not list(machine.there.rglob("*.part"))


@pytest.mark.parametrize("size", SIZES)
async def test_a_single_file_takes_the_name_it_is_given(machine: Machine, size: int) -> None:
    data = machine.make("a", size)
    await send(machine, "a", dest=str(machine.there / "b"))
    assert (machine.there / "b").read_bytes() == data
    await pull(machine, "b", dest=machine.here / "c")
    assert (machine.here / "c").read_bytes() == data
    assert names(machine.there) == ["b"]


async def test_what_is_there_is_replaced_whole(machine: Machine) -> None:
    data = machine.make("a", RESUMABLE)
    target = machine.there / "a"
    target.write_bytes(b"x" * 2 * RESUMABLE)
    other_name = machine.there / "other name of it"
    os.link(target, other_name)
    await send(machine, "a")
    assert target.read_bytes() == data
    assert len(other_name.read_bytes()) == 2 * RESUMABLE  # it is another file, not changed in place


async def test_a_link_that_has_the_name_is_replaced_and_not_followed(machine: Machine) -> None:
    data = machine.make("a")
    (machine.there / "b").write_bytes(b"stays")
    (machine.there / "a").symlink_to("b")
    await send(machine, "a")
    assert (machine.there / "a").read_bytes() == data
    assert not (machine.there / "a").is_symlink()
    assert (machine.there / "b").read_bytes() == b"stays"


async def test_several_go_into_a_folder_that_has_to_be_there(machine: Machine) -> None:
    machine.make("a")
    machine.make("b/c")
    assert (await send(machine, "a", "b")).files == 2
    assert names(machine.there) == ["a", "b"]
    with pytest.raises(NotFound, match=r"there is no folder kai:.*/new; make it first"):
        await send(machine, "a", "b", dest=str(machine.there / "new"))
    with pytest.raises(NotFound, match="make it first"):
        await pull(machine, "a", "b", dest=machine.here / "new")
    with pytest.raises(NotFound, match="there is no folder"):
        await send(machine, "a", dest=f"{machine.there}/new/")
    with pytest.raises(BadRequest, match="is not a folder"):
        await send(machine, "a", "b", dest=str(machine.there / "a"))


async def test_two_of_the_same_name_are_not_sent_into_one_folder(machine: Machine) -> None:
    machine.make("x/a")
    machine.make("y/a")
    with pytest.raises(BadRequest, match="would get the same name"):
        await send(machine, "x/a", "y/a")


async def test_a_file_does_not_become_a_folder_nor_the_other_way_round(machine: Machine) -> None:
    machine.make("a")
    machine.make("f/x")
    (machine.there / "a").mkdir()
    (machine.there / "f").write_bytes(b"stays")
    with pytest.raises(BadRequest, match=r"kai:.*/a is a folder there already"):
        await send(machine, "a")
    with pytest.raises(BadRequest, match=r"kai:.*/f is not a folder"):
        await send(machine, "f")
    assert (machine.there / "f").read_bytes() == b"stays"
    assert not list(machine.there.rglob("*.part"))


async def test_what_is_not_there_is_named(machine: Machine) -> None:
    with pytest.raises(NotFound, match=r"there is no file or folder /.*/here/none"):
        await send(machine, "none")
    with pytest.raises(NotFound, match=r"there is no file or folder kai:/.*/none"):
        await pull(machine, "none", dest=machine.here)


async def test_special_files_are_refused_without_waiting_for_them(machine: Machine) -> None:
    machine.make("in/a")
    machine.make("in/z")
    os.mkfifo(machine.here / "in" / "pipe")
    with socket.socket(socket.AF_UNIX) as sock:
        here = os.getcwd()
        os.chdir(machine.here / "in")  # the path of a socket must be short
        sock.bind("sock")
        os.chdir(here)
    with pytest.raises(BadRequest, match="is a named pipe, not a file"):
        await send(machine, "in/pipe")
    moved = await send(machine, "in")
    assert moved.files == 2
    assert [skip.path for skip in moved.skipped] == [b"in/pipe", b"in/sock"]
    assert "is a socket or a device, not a file" in moved.skipped[1].why
    os.mkfifo(machine.there / "a")
    machine.make("a")
    with pytest.raises(BadRequest, match="is a named pipe there already"):
        await send(machine, "a")
    with pytest.raises(BadRequest, match="is a named pipe, not a file"):
        await pull(machine, "a", dest=machine.here)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_what_cannot_be_read_is_skipped_and_told(machine: Machine) -> None:
    machine.make("in/a")
    machine.make("in/closed", mode=0)
    moved = await send(machine, "in")
    assert (moved.files, [skip.path for skip in moved.skipped]) == (1, [b"in/closed"])


async def test_links_that_lead_out_of_the_folder_are_skipped(machine: Machine) -> None:
    machine.make("in/a")
    for name, target in {
        "absolute": "/etc/passwd",
        "up": "../outside",
        "winding": "sub/../a",
        "here": ".",
    }.items():
        (machine.here / "in" / name).symlink_to(target)
    moved = await send(machine, "in")
    assert [skip.path for skip in moved.skipped] == [b"in/absolute", b"in/up", b"in/winding"]
    assert names(machine.there / "in") == ["a", "here"]


async def test_a_link_that_is_named_is_followed(machine: Machine) -> None:
    data = machine.make("a")
    (machine.here / "link").symlink_to("a")
    await send(machine, "link")
    assert (machine.there / "link").read_bytes() == data
    assert not (machine.there / "link").is_symlink()


async def test_setuid_is_dropped_and_the_umask_holds(machine: Machine) -> None:
    machine.make("a", mode=0o6777)
    machine.make("large", RESUMABLE, mode=0o6777)
    machine.make("f/x")
    (machine.here / "f").chmod(0o3777)
    before = os.umask(0o027)
    try:
        await send(machine, "a", "large", "f")
    finally:
        os.umask(before)
    for name in ("a", "large", "f"):
        assert (machine.there / name).stat().st_mode & 0o7777 == 0o750, name


async def test_a_file_that_changes_once_while_it_is_read_is_sent_again(machine: Machine) -> None:
    machine.make("a", 3 * RESUMABLE)
    source = machine.here / "a"

    def change() -> None:
        with source.open("ab") as file:
            file.write(b"more")

    with trio.fail_after(PATIENCE):
        async with machine.reach() as client:
            on_progress = when_bytes(RESUMABLE, change)
            moved = await client.send([source], machine.there, on_progress=on_progress)
    assert (moved.files, moved.skipped) == (1, ())
    assert (machine.there / "a").read_bytes() == source.read_bytes()


async def test_a_file_that_changes_all_the_time_is_skipped_and_nothing_is_left_of_it(
    machine: Machine,
) -> None:
    machine.make("in/a", 3 * RESUMABLE)
    machine.make("in/b")
    source = machine.here / "in" / "a"
    on_progress = when_bytes(RESUMABLE, lambda: os.utime(source), times=2)
    with trio.fail_after(PATIENCE):
        async with machine.reach() as client:
            moved = await client.send([machine.here / "in"], machine.there, on_progress=on_progress)
    assert moved.files == 1
    assert "changed each time" in moved.skipped[0].why
    assert names(machine.there / "in") == ["b"]


async def test_a_file_that_vanishes_from_a_folder_is_skipped(machine: Machine) -> None:
    machine.make("in/a", 3 * RESUMABLE)
    machine.make("in/b/c")
    machine.make("in/d")
    on_progress = when_bytes(RESUMABLE, (machine.here / "in" / "d").unlink)
    with trio.fail_after(PATIENCE):
        async with machine.reach() as client:
            moved = await client.send([machine.here / "in"], machine.there, on_progress=on_progress)
    assert moved.files == 2
    assert "vanished before it was read" in moved.skipped[0].why


async def test_a_file_that_is_there_already_is_compared_and_not_sent(machine: Machine) -> None:
    machine.make("a", 3 * RESUMABLE)
    pieces: list[int] = []

    async def again() -> int:
        pieces.clear()
        with trio.fail_after(PATIENCE):
            async with machine.reach() as client:
                await client.send(
                    [machine.here / "a"],
                    machine.there,
                    on_progress=lambda progress: pieces.append(progress.bytes),
                )
        assert (machine.there / "a").read_bytes() == (machine.here / "a").read_bytes()
        return len(pieces)

    all_of_it = await again()
    assert await again() < all_of_it
    # It only seems to be the same: size and time are, but not what is in it.
    with (machine.there / "a").open("r+b") as file:
        file.write(b"other")
    os.utime(machine.there / "a", ns=(OLD, OLD))
    held = (machine.there / "a").open("rb")
    assert await again() == all_of_it
    assert held.read(5) == b"other"  # and was not written to: it was replaced
    held.close()


async def test_the_same_file_is_not_written_twice_at_once(machine: Machine) -> None:
    machine.make("a", 8 * RESUMABLE)
    failed: list[LoopsyError] = []

    async def second() -> None:
        try:
            await send(machine, "a")
        except LoopsyError as error:
            failed.append(error)

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery, machine.reach() as client:
            on_progress = when_bytes(RESUMABLE, lambda: nursery.start_soon(second))
            await client.send([machine.here / "a"], machine.there, on_progress=on_progress)
    assert (machine.there / "a").read_bytes() == (machine.here / "a").read_bytes()
    assert all(isinstance(error, Busy) for error in failed)
    assert not parts(machine.there)


@pytest.mark.parametrize("size", [10, RESUMABLE])
async def test_what_is_told_to_be_there_has_been_brought_to_the_disk(
    machine: Machine, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.make("a", size)
    done: list[tuple[str, str]] = []
    sync, rename = os.fsync, os.rename

    def note_sync(descriptor: int) -> None:
        sync(descriptor)
        name = os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))
        done.append(("synced", "part" if name.endswith(".part") else name))

    def note_rename(old: bytes, new: bytes, **folders: int) -> None:
        rename(old, new, **folders)
        done.append(("named", os.fsdecode(new)))

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "rename", note_rename)
    await send(machine, "a")
    assert done == [("synced", "part"), ("named", "a"), ("synced", "there")]


async def test_more_transfers_than_there_are_turns_wait_for_theirs(machine: Machine) -> None:
    for number in range(12):
        machine.make(f"{number}", SMALL + 1)
    with trio.fail_after(PATIENCE):
        async with machine.reach() as client, trio.open_nursery() as nursery:
            for number in range(12):
                nursery.start_soon(client.send, [machine.here / f"{number}"], machine.there)
    assert len(names(machine.there)) == 12


async def test_a_cancelled_transfer_leaves_nothing_under_a_final_name(machine: Machine) -> None:
    machine.make("in/a", 3 * RESUMABLE)
    with trio.CancelScope() as scope:
        async with machine.reach() as client:
            on_progress = when_bytes(RESUMABLE, scope.cancel)
            await client.send([machine.here / "in"], machine.there, on_progress=on_progress)
    assert scope.cancelled_caught
    assert names(machine.there / "in") == [part.name for part in parts(machine.there / "in")]


async def test_parts_that_nobody_went_on_with_are_removed_after_a_day(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.make("a")
    part = machine.there / ".x.loopsy-0123456789abcdef.part"
    other = machine.there / ".z.loopsy-mine.part"
    for path in (part, other):
        path.write_bytes(b"")
        os.utime(path, ns=(OLD, OLD))  # which says nothing: a part may have its final time already
    await send(machine, "a")
    assert names(machine.there) == [part.name, other.name, "a"]
    monkeypatch.setattr("loopsy_core.files.parts.FORGOTTEN", -10.0)
    await send(machine, "a")
    assert names(machine.there) == [other.name, "a"]


async def test_what_is_in_a_folder_is_listed(machine: Machine) -> None:
    for number in range(450):
        (machine.there / f"{number:03}").write_bytes(b"x" * number)
    odd = b"\xff\xfe"
    (machine.there / os.fsdecode(odd)).mkdir()
    (machine.there / "link").symlink_to("/etc")
    os.mkfifo(machine.there / "pipe")
    with trio.fail_after(PATIENCE):
        async with machine.reach() as client:
            entries = {entry.name: entry for entry in await client.list_files(machine.there)}
            [alone] = await client.list_files(machine.there / "449")
            with pytest.raises(NotFound, match="there is no file or folder kai:"):
                await client.list_files(machine.there / "none")
    assert len(entries) == 454  # .loopsy is named, though nobody gets in
    assert (entries[b"017"].kind, entries[b"017"].size) == ("file", 17)
    assert entries[odd].kind == "folder"
    assert (entries[b"link"].kind, entries[b"link"].target) == ("link", b"/etc")
    assert entries[b"pipe"].kind == "other"
    assert alone == entries[b"449"]


async def test_the_home_of_loopsy_is_for_nobody(machine: Machine) -> None:
    machine.make("a")
    (machine.there / "by link").symlink_to(".loopsy")
    (machine.home.root / "identity.key").write_bytes(b"secret")
    for path in (".loopsy", ".loopsy/", "by link", ".loopsy/identity.key", "./x/../.loopsy"):
        with pytest.raises((Refused, NotFound), match=r"denied|there is no folder"):
            await send(machine, "a", dest=str(machine.there / path))
        with pytest.raises((Refused, NotFound), match=r"denied|there is no folder"):
            await pull(machine, path, dest=machine.here)
    moved = await pull(machine, "", dest=machine.here / "all")
    assert [skip.path for skip in moved.skipped] == [b"there/.loopsy"]
    assert not list((machine.here / "all").rglob("identity.key"))
