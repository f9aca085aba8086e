"""A phone that asks to be forgotten while the disk is broken costs a line in the log, no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import pytest
import trio

from loopsy_core.errors import Gone, Misconfigured, Refused
from loopsy_core.wire import Forget, Hello
from tests.world import Phone, open_phone, open_world

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from loopsy_core.client import Client


async def ask_for_ever(client: Client) -> NoReturn:
    while True:
        await client.ask(Hello())
        await trio.sleep(0.05)


async def test_a_disk_that_fails_while_a_phone_is_forgotten_does_not_end_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with trio.fail_after(10):
        async with open_world(tmp_path) as world:
            node = await world.node()
            phone = Phone()
            await world.pair(node, phone)
            database = node.phones._book._database  # noqa: SLF001 - the only way to break a disk

            async def full(work: Callable[..., object]) -> object:
                raise Misconfigured("the disk is full")

            async with open_phone(node.serve_phone, phone.again(node.identity.id)) as client:
                await client.ask(Hello())
                monkeypatch.setattr(database, "transact", full)
                await client.ask(Forget())
                with pytest.raises((Gone, Refused)):
                    await ask_for_ever(client)  # until it is cut off, whatever the disk does
            monkeypatch.undo()
            async with world.local(node) as local:
                assert (await local.status()).phones == 0  # in memory it is gone
            assert "the disk is full" in caplog.text
