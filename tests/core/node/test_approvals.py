"""Agents that approve by themselves: who may ask for it, and this machine's user's word on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.errors import BadRequest, Busy, Gone, NotFound, Refused
from loopsy_core.wire import (
    DecideApproval,
    ListApprovals,
    ListPhones,
    RevokePhone,
    StartSession,
    WithdrawApproval,
)
from tests.world import PATIENCE, Phone, eventually, open_phone, open_world

if TYPE_CHECKING:
    from pathlib import Path

    from loopsy_core.client import Client
    from loopsy_core.wire import ApprovalRequest

ASK = StartSession(kind="claude", auto_approve=True)


@pytest.fixture(autouse=True)
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fake agent, alone on the PATH but for what it is made of."""
    program = tmp_path / "bin" / "claude"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "args: $*"\ncat\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


async def waiting(local: Client) -> ApprovalRequest:
    """Wait until somebody waits, and return who."""
    while True:
        if requests := (await local.ask(ListApprovals())).requests:
            return requests[0]


async def test_a_phone_waits_for_the_user_once_and_never_again(tmp_path: Path) -> None:
    phone = Phone()
    with trio.fail_after(PATIENCE):
        async with open_world(tmp_path) as world:
            node = await world.node()
            await world.pair(node, phone)
            async with (
                world.local(node) as local,
                open_phone(node.serve_phone, phone.again(node.identity.id)) as client,
            ):
                async with trio.open_nursery() as nursery:

                    async def start() -> None:
                        session = await client.ask(ASK)
                        assert session.auto_approve
                        assert "--dangerously-skip-permissions" in session.argv

                    nursery.start_soon(start)
                    request = await waiting(local)
                    assert (request.name, request.kind) == ("pixel", "claude")
                    with pytest.raises(Busy, match="asked already"):
                        await client.ask(ASK)
                    await local.ask(DecideApproval(request=request.id, allow=True))
                assert (await local.ask(ListApprovals())).requests == []
                assert (await client.ask(ASK)).auto_approve, "the word holds"
                assert (await local.ask(ListPhones())).phones[0].auto_approve
            await world.pair(node, phone)
            assert not node.phones.list()[0].auto_approve, "who pairs anew begins anew"


async def test_the_desktop_says_what_is_wanted_and_by_whom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = tmp_path / "shown"
    for name in ("notify-send", "osascript"):
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\necho "$@" >{shown}.new\nmv {shown}.new {shown}\n')
        program.chmod(0o755)
    monkeypatch.setenv("DISPLAY", ":0")
    phone = Phone()
    with trio.fail_after(PATIENCE):
        async with open_world(tmp_path) as world:
            node = await world.node()
            await world.pair(node, phone)
            async with (
                open_phone(node.serve_phone, phone.again(node.identity.id)) as client,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(client.ask, ASK)
                await eventually(shown.exists)
                said = await trio.Path(shown).read_text()
                assert "May claude ask nothing any more? `loopsy approve` decides." in said
                assert said.endswith(f"device {phone.id[:8]}, named pixel\n")
                nursery.cancel_scope.cancel()


async def test_a_denied_phone_is_told_so_and_need_not_ask_again_soon(tmp_path: Path) -> None:
    phone = Phone()
    with trio.fail_after(PATIENCE):
        async with open_world(tmp_path) as world:
            node = await world.node()
            await world.pair(node, phone)
            async with (
                world.local(node) as local,
                open_phone(node.serve_phone, phone.again(node.identity.id)) as client,
                trio.open_nursery() as nursery,
            ):

                async def start() -> None:
                    with pytest.raises(Refused, match="has said no"):
                        await client.ask(ASK)

                nursery.start_soon(start)
                request = await waiting(local)
                await local.ask(DecideApproval(request=request.id, allow=False))
                with pytest.raises(Refused, match="has just said no"):
                    await client.ask(ASK)
                assert not node.phones.list()[0].auto_approve
                assert await local.sessions() == []
                plain = await client.ask(StartSession(kind="claude"))
                assert not plain.auto_approve
                assert "--dangerously-skip-permissions" not in plain.argv


async def test_a_phone_that_leaves_or_is_revoked_waits_no_more(tmp_path: Path) -> None:
    phone = Phone()
    with trio.fail_after(PATIENCE):
        async with open_world(tmp_path) as world:
            node = await world.node()
            await world.pair(node, phone)
            async with world.local(node) as local:
                async with (
                    open_phone(node.serve_phone, phone.again(node.identity.id)) as client,
                    trio.open_nursery() as nursery,
                ):
                    nursery.start_soon(client.ask, ASK)
                    await waiting(local)
                    nursery.cancel_scope.cancel()
                while (await local.ask(ListApprovals())).requests:
                    pass
                async with open_phone(node.serve_phone, phone.again(node.identity.id)) as client:
                    async with trio.open_nursery() as nursery:

                        async def start() -> None:
                            with pytest.raises((Gone, Refused), match="revoked"):
                                await client.ask(ASK)

                        nursery.start_soon(start)
                        request = await waiting(local)
                        await local.ask(RevokePhone(phone="pixel"))
                    while (await local.ask(ListApprovals())).requests:
                        pass
                with pytest.raises(NotFound):
                    await local.ask(DecideApproval(request=request.id, allow=True))
                assert await local.sessions() == []


async def test_the_user_takes_back_over_the_socket_what_was_allowed(tmp_path: Path) -> None:
    phone = Phone()
    with trio.fail_after(PATIENCE):
        async with open_world(tmp_path) as world:
            node = await world.node()
            await world.pair(node, phone)
            async with (
                world.local(node) as local,
                open_phone(node.serve_phone, phone.again(node.identity.id)) as client,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(client.ask, ASK)
                await local.ask(DecideApproval(request=(await waiting(local)).id, allow=True))
                while not node.phones.list()[0].auto_approve:
                    await trio.lowlevel.checkpoint()
                said = await local.ask(WithdrawApproval(contact=phone.id[:8]))
                assert (said.contact, said.name) == (phone.id, "pixel")
                assert not node.phones.list()[0].auto_approve
                nursery.start_soon(client.ask, ASK)
                assert (await waiting(local)).contact == phone.id
                await local.ask(DecideApproval(request=(await waiting(local)).id, allow=True))


async def test_only_some_may_ask_and_the_user_need_not(tmp_path: Path) -> None:
    viewer = Phone()
    with trio.fail_after(PATIENCE):
        async with open_world(tmp_path) as world:
            node = await world.node()
            await world.pair(node, viewer, "viewer")
            async with world.local(node) as local:
                assert (await local.ask(ASK)).auto_approve
                async with open_phone(node.serve_phone, viewer.again(node.identity.id)) as client:
                    with pytest.raises(Refused):
                        await client.ask(ASK)
                with pytest.raises(BadRequest, match="cannot be told"):
                    await local.ask(StartSession(kind="shell", auto_approve=True))


async def test_an_agent_that_is_not_there_and_a_kind_that_nobody_knows_are_named(
    tmp_path: Path,
) -> None:
    with trio.fail_after(PATIENCE):
        async with open_world(tmp_path) as world:
            node = await world.node()
            async with world.local(node) as local:
                with pytest.raises(BadRequest, match="no 'codex' on the PATH"):
                    await local.ask(StartSession(kind="codex"))
                with pytest.raises(BadRequest, match="there is no kind 'magic'; there are shell"):
                    await local.ask(StartSession(kind="magic"))
                with pytest.raises(BadRequest, match="needs a command"):
                    await local.ask(StartSession(kind="custom"))
                with pytest.raises(NotFound, match="no custom command"):
                    await local.ask(StartSession(command="build"))
