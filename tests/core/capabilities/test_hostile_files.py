"""What others may try: contacts that reach too far, senders that lie, full disks, races."""

from __future__ import annotations

import hashlib
import os
import resource
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.client import Client
from loopsy_core.errors import BadRequest, LoopsyError, NotFound, ProtocolViolation, Refused
from loopsy_core.home import TransferConfig
from loopsy_core.wire import FilesMoved, Hello, HelloReply, PushFiles
from loopsy_core.wire.transfer import (
    RESUMABLE,
    FileAgain,
    FileBegins,
    FileEnds,
    FileFrom,
    FolderEnds,
    LinkThere,
    SenderItem,
    SmallFile,
)
from tests.core.capabilities.files_world import OLD, Machine, names
from tests.core.files.races import swapping
from tests.world import PATIENCE, open_talk

if TYPE_CHECKING:
    from pathlib import Path

    from loopsy_core.client import Moved
    from loopsy_core.links import Asked

CONTACT = "a contact's key"


class Grounds(Machine):
    """A machine where a contact may reach `there`, but not `there/.ssh`, nor `elsewhere`."""

    def __init__(self, root: Path, most: int | None = None) -> None:
        there = root / "there"
        config = TransferConfig((there,), (there / ".ssh",), most)
        super().__init__(root, CONTACT, config)
        self.elsewhere = root / "elsewhere"
        self.elsewhere.mkdir()
        (self.elsewhere / "file").write_bytes(b"elsewhere")

    def assert_untouched(self) -> None:
        assert names(self.elsewhere) == ["file"]
        assert (self.elsewhere / "file").read_bytes() == b"elsewhere"


@pytest.fixture
def grounds(tmp_path: Path) -> Grounds:
    return Grounds(tmp_path)


async def send(machine: Machine, path: str, dest: Path | str) -> Moved:
    with trio.fail_after(PATIENCE):
        async with machine.reach() as client:
            return await client.send([machine.here / path], dest)


async def pull(machine: Machine, path: Path | str) -> Moved:
    with trio.fail_after(PATIENCE):
        async with machine.reach() as client:
            return await client.pull([path], machine.here)


# A contact and its bounds.


async def test_a_contact_reaches_what_is_allowed_and_nothing_else(grounds: Grounds) -> None:
    grounds.make("a")
    await send(grounds, "a", grounds.there)
    await pull(grounds, grounds.there / "a")
    for path in (grounds.elsewhere, grounds.there / ".." / "elsewhere", "/", "/etc"):
        with pytest.raises(Refused, match="outside of the folders"):
            await send(grounds, "a", path)
        with pytest.raises(Refused, match="outside of the folders"):
            await pull(grounds, path / "file" if not isinstance(path, str) else f"{path}/passwd")
        async with grounds.reach() as client:
            with pytest.raises(Refused, match="outside of the folders"):
                await client.list_files(path)
    grounds.assert_untouched()


async def test_what_is_denied_to_contacts_is_denied_in_a_folder_too(grounds: Grounds) -> None:
    grounds.make("you/.ssh/authorized_keys")
    grounds.make("you/a")
    with pytest.raises(Refused, match="denied"):
        await send(grounds, "you/.ssh", grounds.there)
    assert not (grounds.there / ".ssh").exists()
    (grounds.there / ".ssh").mkdir()
    (grounds.there / ".ssh" / "id").write_bytes(b"secret")
    with pytest.raises(Refused, match="denied"):
        await send(grounds, "you/.ssh", grounds.there)
    moved = await pull(grounds, grounds.there)
    assert b"there/.ssh" in [skip.path for skip in moved.skipped]
    assert not (grounds.here / "there" / ".ssh").exists()
    assert names(grounds.there / ".ssh") == ["id"]


async def test_the_machines_own_user_is_not_confined(grounds: Grounds) -> None:
    grounds.contact = None
    grounds.make("a")
    await send(grounds, "a", grounds.elsewhere)
    await send(grounds, "a", grounds.there)
    assert names(grounds.elsewhere) == ["a", "file"]


async def test_files_that_are_too_large_are_refused_both_ways(tmp_path: Path) -> None:
    grounds = Grounds(tmp_path, most=5000)
    grounds.make("fits", 5000)
    await send(grounds, "fits", grounds.there)
    for size in (5001, 100_000, RESUMABLE):
        grounds.make("large", size)
        with pytest.raises(Refused, match="at most 5000 are taken there"):
            await send(grounds, "large", grounds.there)
    assert names(grounds.there) == ["fits"]
    for size in (5001, 100_000):
        (grounds.there / "large").write_bytes(bytes(size))
        moved = await pull(grounds, grounds.there / "large")
        assert "larger than the 5000 bytes" in moved.skipped[0].why


async def test_a_folder_that_is_a_link_there_is_not_entered(grounds: Grounds) -> None:
    grounds.make("in/sub/file")
    (grounds.there / "in").mkdir()
    (grounds.there / "in" / "sub").symlink_to(grounds.elsewhere)
    with pytest.raises(
        (Refused, BadRequest), match=r"kai:.*/in/sub is (a symbolic link|not a folder)"
    ):
        await send(grounds, "in", grounds.there)
    grounds.assert_untouched()


# Senders that lie.


def small(path: bytes, data: bytes = b"data", digest: bytes | None = None) -> SmallFile:
    return SmallFile(path, 0o644, 0, data, digest or hashlib.sha256(data).digest())


async def say(machine: Machine, *said: SenderItem | bytes, patient: bool = True) -> FilesMoved:
    """Push by saying exactly this."""
    with trio.fail_after(PATIENCE):
        async with machine.talk() as conversation:
            operation = PushFiles(path=os.fsencode(machine.there))
            async with conversation.open_call(operation) as call:
                for each in said:
                    await (call.send(each) if isinstance(each, bytes) else call.send_item(each))
                    if isinstance(each, FileBegins) and each.ask and patient:
                        await call.receive()
                call.end()
                await call.answer()
                return FilesMoved(0, 0)


@pytest.mark.parametrize(
    "path",
    [
        b"", b".", b"..", b"/", b"../elsewhere/x", b"/etc/x", b"a/../../elsewhere/x", b"a//b",
        b"a/", b"a/./b", b"a\0b", b"x" * 256, b"/".join([b"d"] * 200), b"a/..",
    ],
)  # fmt: skip
async def test_a_path_that_is_no_way_down_is_a_bad_request(grounds: Grounds, path: bytes) -> None:
    for item in (
        small(path),
        FileBegins(path, 5, 0o644, 0, False),
        FolderEnds(path, 0o755, 0),
        LinkThere(path, b"x"),
    ):
        with pytest.raises(BadRequest):
            await say(grounds, item)
    grounds.assert_untouched()


@pytest.mark.parametrize(
    "target", [b"/etc/passwd", b"../x", b"..", b"a/../../..", b"here/../../x", b"x\0"]
)
async def test_a_link_that_would_lead_out_is_not_made(grounds: Grounds, target: bytes) -> None:
    with pytest.raises((Refused, BadRequest)):
        await say(grounds, small(b"in/a"), LinkThere(b"in/link", target))
    assert "link" not in names(grounds.there / "in")


async def test_nothing_is_written_through_a_link_that_was_sent(grounds: Grounds) -> None:
    for said in (
        [LinkThere(b"in/link", b"."), small(b"in/link/a")],
        [LinkThere(b"in/link", b"a"), FolderEnds(b"in/link", 0o777, 0)],
    ):
        with pytest.raises((Refused, BadRequest)):
            await say(grounds, *said)
    assert names(grounds.there / "in") == ["link"]


async def test_what_does_not_have_its_digest_is_not_there(grounds: Grounds) -> None:
    wrong = bytes(32)
    with pytest.raises(BadRequest, match=r"kai:.*/a: .*digests differ"):
        await say(grounds, small(b"a", digest=wrong))
    begins = FileBegins(b"a", 4, 0o644, 0, False)
    with pytest.raises(BadRequest, match="digests differ"):
        await say(grounds, begins, b"data", FileEnds(wrong))
    large = FileBegins(b"a", RESUMABLE, 0o644, 0, True)
    with pytest.raises(BadRequest, match="digests differ"):
        await say(grounds, large, FileFrom(0), bytes(RESUMABLE), FileEnds(wrong))
    assert names(grounds.there) == []


@pytest.mark.parametrize("ending", [FileEnds(bytes(32)), FileAgain()])
async def test_what_is_there_already_survives_a_sender_that_only_claims_to_have_the_same(
    grounds: Grounds, ending: SenderItem
) -> None:
    (grounds.there / "a").write_bytes(bytes(RESUMABLE))
    os.utime(grounds.there / "a", ns=(OLD, OLD))
    begins = FileBegins(b"a", RESUMABLE, 0o644, OLD, True)
    with suppress(BadRequest):
        await say(grounds, begins, FileFrom(RESUMABLE), ending)
    assert (grounds.there / "a").read_bytes() == bytes(RESUMABLE)


async def test_a_file_has_the_size_that_was_announced(grounds: Grounds) -> None:
    digest = hashlib.sha256(b"data").digest()
    for size in (3, 5):
        begins = FileBegins(b"a", size, 0o644, 0, False)
        with pytest.raises(BadRequest, match="bytes"):
            await say(grounds, begins, b"data", FileEnds(digest))
    with pytest.raises(BadRequest, match="was not sent to its end"):
        await say(grounds, FileBegins(b"a", 4, 0o644, 0, False), b"data")
    assert names(grounds.there) == []


async def test_a_file_that_cannot_fit_is_refused_before_it_comes(grounds: Grounds) -> None:
    with pytest.raises(LoopsyError, match="the disk has no space for the 9223372036854775807"):
        await say(grounds, FileBegins(b"a", 2**63 - 1, 0o644, 0, True))
    assert names(grounds.there) == []


@pytest.mark.parametrize(
    "said",
    [
        [b"data"],
        [FileEnds(bytes(32))],
        [FileFrom(0)],
        [FileAgain()],
        [FileBegins(b"a", 4, 0o644, 0, False), FileBegins(b"b", 4, 0o644, 0, False)],
        [FileBegins(b"a", 4, 0o644, 0, False), small(b"b")],
        [FileBegins(b"a", RESUMABLE, 0o644, 0, True), bytes(RESUMABLE)],
        [FileBegins(b"a", RESUMABLE, 0o644, 0, True), FileFrom(5)],
    ],
)
async def test_what_is_said_out_of_order_breaks_the_protocol(
    grounds: Grounds, said: list[SenderItem | bytes]
) -> None:
    with pytest.raises((ProtocolViolation, BadRequest)):
        await say(grounds, *said, patient=False)
    assert not [name for name in names(grounds.there) if not name.endswith(".part")]


async def test_a_machine_that_sends_what_nobody_asked_for_plants_nothing(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()

    async def answer(asked: Asked) -> object:
        if asked.op == Hello.op:
            return HelloReply("its key", "kai", "1.0", [], "local")
        await asked.send_item(small(b"report"))
        await asked.send_item(small(b".bashrc", b"evil"))
        return FilesMoved(2, 8)

    with trio.fail_after(PATIENCE):
        async with open_talk(answer) as (conversation, _):
            client = Client(conversation)
            with pytest.raises(Refused, match=r"'\.bashrc', which nobody asked for"):
                await client.pull(["~/report"], here)
            with pytest.raises(Refused, match="which nobody asked for"):
                await client.pull(["~/report"], here / "new name")
            with pytest.raises(BadRequest, match="has no name of its own"):
                await client.pull(["~"], here)
            with pytest.raises(Refused, match="which nobody asked for"):
                await client.pull(["~"], here / "home")
    assert set(names(here)) <= {"report", "new name", "home"}


# Disks that are full.


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
@pytest.mark.parametrize("size", [20_000, 500_000, 3 * RESUMABLE])
async def test_a_full_disk_is_told_and_nothing_is_left(grounds: Grounds, size: int) -> None:
    disk = grounds.there / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if await trio.to_thread.run_sync(subprocess.call, mount):
        pytest.skip("this system does not let us mount")
    try:
        for number in range(2_500_000 // size + 1):
            grounds.make(f"in/{number:04}", size)
        with pytest.raises(LoopsyError, match=r"space"):
            await send(grounds, "in", disk)
        assert not list(disk.rglob("*.part"))
        for path in (disk / "in").iterdir():
            assert path.read_bytes() == (grounds.here / "in" / path.name).read_bytes()
    finally:
        await trio.to_thread.run_sync(subprocess.check_call, ["umount", str(disk)])


async def test_a_limit_of_the_system_is_told_and_nothing_is_left(grounds: Grounds) -> None:
    grounds.make("a", 3 * RESUMABLE)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (RESUMABLE, hard))
    try:
        with pytest.raises(LoopsyError, match="larger than what the system allows"):
            await send(grounds, "a", grounds.there)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(grounds.there) == []


# Races.


async def test_nothing_lands_or_is_read_outside_while_folders_are_swapped(grounds: Grounds) -> None:
    grounds.make("in/sub/file", 100)
    inside = grounds.there / "in" / "sub"
    inside.mkdir(parents=True)
    (inside / "file").write_bytes(b"inside")
    came = landed = 0
    with trio.fail_after(3 * PATIENCE), swapping(inside, grounds.elsewhere):
        async with grounds.reach() as client:
            for _ in range(150):
                with suppress(LoopsyError):
                    landed += (await client.send([grounds.here / "in"], grounds.there)).files
                (grounds.here / "file").unlink(missing_ok=True)
                with suppress(LoopsyError, NotFound):
                    came += (await client.pull([inside / "file"], grounds.here)).files
                    assert (grounds.here / "file").read_bytes() != b"elsewhere"
    assert came
    assert landed
    grounds.assert_untouched()
