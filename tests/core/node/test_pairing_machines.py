"""Two machines pair: the code, both users' word, and what a stranger learns."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from loopsy_core.errors import BadRequest, Busy, Gone, NotFound, Refused
from loopsy_core.wire import (
    AddPeer,
    Comparing,
    Confirm,
    Hello,
    Invited,
    InvitePeer,
    JoinPeer,
    ListSessions,
    NodeStatus,
)
from tests.core.node.machines_world import (
    Machine,
    away,
    home_of,
    next_of,
    open_machine,
    pair,
    reached,
)
from tests.world import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from loopsy_core.client import Call


async def invited(call: Call) -> Invited:
    item = await next_of(call)
    assert isinstance(item, Invited)
    return item


async def comparing(call: Call) -> Comparing:
    item = await next_of(call)
    assert isinstance(item, Comparing)
    return item


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"


async def test_pairing_takes_effect_at_once_on_both_sides(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "kai") as kai, open_machine(tmp_path, "mac") as mac:
            await pair(kai, mac)
            there = await mac.peer(reached)
            here = await kai.peer(reached)
            assert (there.name, there.id) == ("kai", kai.id)
            assert (here.name, here.id) == ("mac", mac.id)
            assert "exec" in there.grants
            assert "admin" not in there.grants
            hello = await mac.client.peer("kai").ask(Hello())
            assert (hello.node_id, hello.contact) == (kai.id, mac.id)
            assert (await kai.client.peer("mac").ask(Hello())).node_id == mac.id


async def test_one_connection_serves_both_when_one_side_does_not_listen(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            open_machine(tmp_path, "kai") as kai,
            open_machine(tmp_path, "mac", lan=False) as mac,
        ):
            await pair(kai, mac)
            await kai.peer(reached)
            assert (await kai.client.peer("mac").status()).name == "mac"
            session = await kai.client.peer("mac").start(["echo", "from kai"])
            async with kai.client.peer("mac").attach(session.id, cols=80, rows=24):
                pass
            assert [each.id for each in await mac.client.sessions()] == [session.id]


async def test_a_wrong_code_is_refused_and_five_burn_the_invitation(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            open_machine(tmp_path, "kai") as kai,
            open_machine(tmp_path, "mac", lan=False) as mac,
            kai.client.open_call(InvitePeer()) as inviting,
        ):
            code = (await invited(inviting)).code
            for _ in range(5):
                with pytest.raises(Refused, match="the code is wrong, or no invitation"):
                    await mac.client.ask(JoinPeer(address=kai.address, code=wrong(code)))
            with pytest.raises(Refused, match="burnt"):
                await inviting.answer()
            with pytest.raises(Refused, match="the code is wrong, or no invitation"):
                await mac.client.ask(JoinPeer(address=kai.address, code=code))
            assert not await kai.peers()
            assert not await mac.peers()


async def test_nobody_is_kept_when_one_user_says_that_the_numbers_differ(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "kai") as kai, open_machine(tmp_path, "mac") as mac:
            for kai_says, mac_says in ((True, False), (False, True), (False, False)):
                async with kai.client.open_call(InvitePeer()) as inviting:
                    request = JoinPeer(address=kai.address, code=(await invited(inviting)).code)
                    async with mac.client.open_call(request) as joining:
                        await comparing(joining)
                        await comparing(inviting)
                        await inviting.send_item(Confirm(same=kai_says))
                        await joining.send_item(Confirm(same=mac_says))
                        with pytest.raises(Refused, match="differ"):
                            await joining.answer()
                        with pytest.raises(Refused, match="differ"):
                            await inviting.answer()
            assert not await kai.peers()
            assert not await mac.peers()


async def test_a_caller_that_is_lost_leaves_the_invitation_to_the_next(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            open_machine(tmp_path, "kai") as kai,
            open_machine(tmp_path, "mac", lan=False) as mac,
            kai.client.open_call(InvitePeer()) as inviting,
        ):
            code = (await invited(inviting)).code
            async with mac.client.open_call(JoinPeer(address=kai.address, code=code)) as joining:
                await comparing(joining)
                await comparing(inviting)
            assert (await invited(inviting)).code == code
            async with mac.client.open_call(JoinPeer(address=kai.address, code=code)) as joining:
                await comparing(joining)
                await comparing(inviting)
                await inviting.send_item(Confirm(same=True))
                await joining.send_item(Confirm(same=True))
                await joining.answer()
                await inviting.answer()
            await kai.peer(reached)


async def test_an_invitation_ends_with_whoever_shows_it(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            open_machine(tmp_path, "kai") as kai,
            open_machine(tmp_path, "mac", lan=False) as mac,
        ):
            async with kai.client.open_call(InvitePeer()) as inviting:
                code = (await invited(inviting)).code
                with pytest.raises(Busy, match="open already"):
                    await kai.client.ask(InvitePeer())
            with pytest.raises(Refused):
                await mac.client.ask(JoinPeer(address=kai.address, code=code))


STRANGERS = [
    b"GET / HTTP/1.1\r\nHost: kai\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"\0\0\0\1\1",
    b"\0\0\0\1\2",
    b"\0\0\0\1\3",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    (1 + 16 + 32).to_bytes(4, "big") + b"\3" + bytes(48),
    (1 + 96).to_bytes(4, "big") + b"\1" + bytes(96),
    (1 + 16 + 96).to_bytes(4, "big") + b"\2" + bytes(112),
]


@pytest.mark.parametrize("said", STRANGERS)
async def test_a_stranger_hears_nothing_at_all(tmp_path: Path, said: bytes) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            open_machine(tmp_path, "kai") as kai,
            kai.client.open_call(InvitePeer()) as inviting,
        ):
            await invited(inviting)
            assert kai.node.port is not None
            stream = await trio.open_tcp_stream("127.0.0.1", kai.node.port)
            async with stream:
                await stream.send_all(said)
                await stream.send_eof()
                heard = b""
                try:
                    while piece := await stream.receive_some():
                        heard += piece
                except trio.BrokenResourceError:
                    pass  # hung up without a word
                assert heard == b""
            await kai.client.ask(NodeStatus())


async def test_an_address_that_answers_something_else_is_told_in_a_sentence(tmp_path: Path) -> None:
    async def http(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "mac", lan=False) as mac, trio.open_nursery() as nursery:
            serve = partial(trio.serve_tcp, http, 0, host="127.0.0.1")
            [listener] = await nursery.start(serve)
            port = listener.socket.getsockname()[1]
            with pytest.raises(Refused, match="is no Loopsy node"):
                await mac.client.ask(JoinPeer(address=f"127.0.0.1:{port}", code="123456"))
            with pytest.raises(Gone, match="Connection refused"):
                await mac.client.ask(JoinPeer(address="127.0.0.1:1", code="123456"))
            with pytest.raises(BadRequest, match="no address"):
                await mac.client.ask(JoinPeer(address="http://kai", code="123456"))
            nursery.cancel_scope.cancel()


async def test_machines_trust_keys_that_were_brought_by_hand(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "kai") as kai, open_machine(tmp_path, "mac") as mac:
            added = await mac.client.ask(AddPeer(address=kai.address, key=kai.id, name="kai"))
            assert added.addresses == [kai.address]
            assert await mac.peer(lambda peer: "refuses us" in (peer.problem or ""))
            await kai.client.ask(AddPeer(address=None, key=mac.id, name="mac"))
            await mac.peer(reached)
            await kai.peer(reached)
            assert (await kai.client.peer("mac").status()).name == "mac"


async def test_keys_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "kai", lan=False) as kai:
            with pytest.raises(BadRequest, match="not the id of a peer"):
                await kai.client.ask(AddPeer(address="mac", key="x" * 52))
            with pytest.raises(BadRequest, match="this machine itself"):
                await kai.client.ask(AddPeer(address="mac", key=kai.id))
            assert not await kai.peers()


async def test_two_machines_of_one_name_get_two(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            open_machine(tmp_path, "mac") as mac,
            open_machine(tmp_path / "here", "kai") as kai,
            open_machine(tmp_path / "there", "kai") as other,
        ):
            await pair(kai, mac)
            await pair(other, mac)
            assert sorted(peer.name for peer in await mac.peers()) == ["kai", "kai-2"]
            hello = await reach(mac, "kai-2")
            assert hello == other.id


async def reach(machine: Machine, name: str) -> str:
    while True:
        try:
            return (await machine.client.peer(name).ask(Hello())).node_id
        except Gone:
            await trio.sleep(0.02)


async def test_a_peer_that_changed_its_key_is_refused_loudly(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "mac") as mac:
            async with open_machine(tmp_path, "kai") as kai:
                await pair(kai, mac)
                await mac.peer(reached)
                port = kai.node.port
            home = home_of(tmp_path, "kai")
            home.identity.unlink()
            from loopsy_core.home import create_identity

            create_identity(home)
            text = home.config.read_text(encoding="utf-8")
            assert port is not None
            home.config.write_text(text.replace("port: 0", f"port: {port - 1}"), encoding="utf-8")
            async with open_machine(tmp_path, "kai") as changed:
                assert changed.node.port == port
                peer = await mac.peer(lambda peer: "key has changed" in (peer.problem or ""))
                assert away(peer)
                with pytest.raises(Gone, match="its key has changed"):
                    await mac.client.peer("kai").sessions()


async def test_what_a_machine_may_not_do_here_it_is_refused(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "kai") as kai, open_machine(tmp_path, "mac") as mac:
            viewer = AddPeer(address=None, key=mac.id, name="mac", preset="viewer")
            await kai.client.ask(viewer)
            await mac.client.ask(AddPeer(address=kai.address, key=kai.id, name="kai"))
            await mac.peer(reached)
            assert await mac.client.peer("kai").ask(ListSessions())
            with pytest.raises(Refused, match=r"machine mac may not ask sessions\.start"):
                await mac.client.peer("kai").start(["true"])
            with pytest.raises(Refused, match="'admin'"):
                await mac.client.peer("kai").ask(AddPeer(address=None, key=mac.id))


async def test_an_unknown_machine_is_named(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "kai", lan=False) as kai:
            with pytest.raises(NotFound, match="there is no machine 'mac'"):
                await kai.client.peer("mac").sessions()
            assert (await kai.client.peer("kai").status()).name == "kai"  # that is this one
