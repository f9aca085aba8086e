"""A machine that answers what is asked about files, at the other end of a pipe that may be cut."""

from __future__ import annotations

import os
import stat
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from loopsy_core.capabilities import Files
from loopsy_core.client import Client, Progress
from loopsy_core.home import Home, TransferConfig
from loopsy_core.wire import Data, Hello, HelloReply, Item
from loopsy_core.wire.messages import decode_message
from loopsy_core.wire.transfer import SmallFile, decode_sender_item
from tests.world import open_talk

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence
    from pathlib import Path

    from loopsy_core.links import Asked, Conversation
    from loopsy_core.wire import Message
    from tests.world import MemoryChannel

OLD: Final = 1_600_000_000_123_456_789
"""A time long ago, to the nanosecond."""


class Machine:
    """Another machine, `there`, and ours, `here`; both are folders."""

    def __init__(self, root: Path, contact: str | None, config: TransferConfig | None) -> None:
        self.here = root / "here"
        self.there = root / "there"
        self.home = Home(root / "there" / ".loopsy")
        for folder in (self.here, self.there, self.home.root):
            folder.mkdir(exist_ok=True)
        self.contact = contact
        self.files = Files(config or TransferConfig((self.there,), ()), self.home, "kai")
        self.pipe: MemoryChannel
        self.connections = 0
        self._look: Callable[[Message], object] = lambda _: None

    async def answer(self, asked: Asked) -> object:
        """Do what a node's router does."""
        if asked.op == Hello.op:
            return HelloReply("its key", "kai", "1.0", [], self.contact or "local")
        act = {
            "files.list": self.files.list_folder,
            "files.push": self.files.push,
            "files.pull": self.files.pull,
        }[asked.op]
        return await act(asked, self.contact)

    @asynccontextmanager
    async def reach(self) -> AsyncGenerator[Client]:
        """Connect anew."""
        async with self.talk() as conversation:
            yield Client(conversation)

    @asynccontextmanager
    async def talk(self) -> AsyncGenerator[Conversation]:
        self.connections += 1
        async with open_talk(self.answer) as (conversation, self.pipe):
            for end in (self.pipe, self.pipe.far):
                self._tap(end)
            yield conversation

    def _tap(self, end: MemoryChannel) -> None:
        send = end.send

        async def watched(messages: Sequence[bytes]) -> None:
            for message in messages:
                self._look(decode_message(message))
            await send(messages)

        end.send = watched  # type: ignore[method-assign]

    def count_data(self, total: list[int]) -> None:
        """Add to `total[0]` the bytes of all Data that passes through the pipe from now on."""
        self._watch(lambda message: isinstance(message, Data) and _add(total, len(message.data)))

    def count_small(self, paths: list[bytes]) -> None:
        """Append to `paths` those of all small files that pass through the pipe from now on."""

        def look(message: Message) -> None:
            if isinstance(message, Item) and b"small" in message.value[:32]:
                item = decode_sender_item(message.value)
                assert isinstance(item, SmallFile)
                paths.append(item.path)

        self._watch(look)

    def _watch(self, look: Callable[[Message], object]) -> None:
        self._look = look

    def make(self, name: str | bytes, size: int = 10, mode: int = 0o644) -> bytes:
        """Make a file here, of a random content that is returned."""
        data = os.urandom(size)
        path = os.path.join(os.fsencode(self.here), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
        os.chmod(path, mode)
        os.utime(path, ns=(OLD, OLD))
        return data


def _add(total: list[int], count: int) -> None:
    total[0] += count


def tree(root: Path) -> dict[bytes, object]:
    """Return all that is in a folder: kind, permissions, time and content, by path."""
    found: dict[bytes, object] = {}
    top = os.fsencode(root)
    for folder, folders, files in os.walk(top):
        for name in [*folders, *files]:
            path = os.path.join(folder, name)
            about = os.lstat(path)
            value: object = (stat.S_IMODE(about.st_mode), about.st_mtime_ns)
            if stat.S_ISLNK(about.st_mode):
                value = os.readlink(path)
            elif stat.S_ISREG(about.st_mode):
                with open(path, "rb") as file:
                    value = (value, file.read())
            found[os.path.relpath(path, top)] = value
    return found


def names(folder: Path) -> list[str]:
    """Return what is in a folder, but for the home of Loopsy."""
    return sorted(each.name for each in folder.iterdir() if each.name != ".loopsy")


def when_bytes(
    count: int, act: Callable[[], object], *, times: int = 1
) -> Callable[[Progress], None]:
    """Return a callback that does something as soon as `count` bytes have moved, so many times."""
    left = [times]
    last = [0]

    def on_progress(progress: Progress) -> None:
        reached = last[0] < count <= progress.bytes
        last[0] = progress.bytes
        if reached and left[0]:
            left[0] -= 1
            act()

    return on_progress


def parts(folder: Path) -> Sequence[Path]:
    """Return the files in a folder that are not whole."""
    return sorted(folder.glob(".*.part"))
