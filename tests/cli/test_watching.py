"""Watching goes on over the loss of the node, and tells each change once."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest
import trio

from loopsy_cli.watching import watch_on
from loopsy_core.client import ContextEntry
from loopsy_core.errors import Busy, Gone, NoDaemon, NotFound
from loopsy_core.wire import ContextCurrent, ContextDeleted, ContextInfo

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from loopsy_core.client import Client, ContextChange


def entry(key: str, revision: int) -> ContextEntry:
    return ContextEntry(ContextInfo(key, revision, 1, 0.0, "me"), "v")


class Node:
    """Answers each watch with what is next on its list: changes, and how it ends."""

    def __init__(self, *watches: list[ContextChange | Exception]) -> None:
        self._watches = list(watches)
        self.context = self
        self.at: list[float] = []

    @asynccontextmanager
    async def watch(self, prefix: str) -> AsyncGenerator[AsyncIterator[ContextChange]]:
        assert prefix == "p:"
        self.at.append(trio.current_time())
        changes = self._watches.pop(0)
        if isinstance(changes[0], NoDaemon):
            raise changes[0]

        async def tell() -> AsyncIterator[ContextChange]:
            for change in changes:
                await trio.lowlevel.checkpoint()
                if isinstance(change, Exception):
                    raise change
                yield change

        yield tell()


async def heard(node: Node) -> list[object]:
    """Watch until the key `p:end` is set; return what was told before."""
    told: list[object] = []

    def tell(change: ContextChange) -> bool | None:
        told.append(change)
        return True if isinstance(change, ContextEntry) and change.key == "p:end" else None

    assert await watch_on(cast("Client", node), "p:", tell)
    return told[:-1]


async def test_what_was_told_before_is_not_told_again_and_what_went_meanwhile_is(
    autojump_clock: object, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = Gone("the connection was closed")
    node = Node(
        [entry("p:1", 1), entry("p:2", 2), ContextCurrent(2), entry("p:3", 3), lost],
        [NoDaemon("no daemon runs")],
        [entry("p:1", 1), Busy("changes of more than 1000 keys were waiting; watch anew")],
        [entry("p:1", 1), entry("p:3", 5), ContextCurrent(6), entry("p:1", 7), entry("p:end", 8)],
    )
    assert await heard(node) == [
        entry("p:1", 1),
        entry("p:2", 2),
        ContextCurrent(2),
        entry("p:3", 3),
        entry("p:3", 5),
        ContextDeleted("p:2", 6, "deleted"),
        entry("p:1", 7),
    ]
    assert capsys.readouterr().err.count("watching goes on") == 1
    assert node.at == [0, 1, 2, 3], "with a pause between the tries"


@pytest.mark.parametrize("error", [NoDaemon("no daemon runs"), Gone("mac is not reached")])
async def test_what_is_not_there_from_the_beginning_is_an_error(error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)):
        await heard(Node([error]))


async def test_a_refusal_ends_it(autojump_clock: object) -> None:
    node = Node([ContextCurrent(1), Gone("it left")], [NotFound("no such machine")])
    with pytest.raises(NotFound):
        await heard(node)
