"""Machines and strangers that do what they should not: nobody else is worse off for it."""

from __future__ import annotations

import hmac
import logging
import resource
import time
from contextlib import suppress
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

import attrs
import pytest
import trio

from loopsy_core.errors import Busy, Gone, LoopsyError, Misconfigured, Refused
from loopsy_core.home import read_audit_log
from loopsy_core.links import FramedChannel, SealedChannel
from loopsy_core.links.tcp import connect_tcp, parse_address
from loopsy_core.node import keeper as keeper_file
from loopsy_core.node import pairing as pairing_file
from loopsy_core.node.limits import AT_ONCE
from loopsy_core.wire import (
    Comparing,
    Confirm,
    GrantPeer,
    Hello,
    Introduction,
    Invited,
    InvitePeer,
    JoinPeer,
    ListSessions,
    RunJob,
    WatchSessions,
    call_with_code,
    read_verdict,
)
from tests.core.node import machines_world
from tests.core.node.machines_world import away, next_of, open_machine, pair, reached
from tests.core.node.strange_machines import StrangeMachine
from tests.world import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from loopsy_core.client import Call, Client
    from loopsy_core.links import Asked, Conversation
    from loopsy_core.wire.comparing import Met
    from tests.core.node.machines_world import Machine


async def code_of(inviting: Call) -> str:
    invited = await next_of(inviting)
    assert isinstance(invited, Invited)
    return invited.code


async def comparing(call: Call) -> Comparing:
    item = await next_of(call)
    assert isinstance(item, Comparing)
    return item


async def call(machine: Machine) -> FramedChannel:
    return await connect_tcp(*parse_address(machine.address))


# Strangers.


async def test_machines_pair_and_stay_while_strangers_besiege_the_port(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "kai") as kai, open_machine(tmp_path, "mac") as mac:
            idle = [await call(kai) for _ in range(60)]
            await pair(kai, mac)
            await mac.peer(reached)
            idle += [await call(kai) for _ in range(60)]
            assert (await mac.client.peer("kai").status()).name == "kai"
            for channel in idle:
                await channel.aclose()


async def test_strangers_that_hang_up_are_not_worth_a_line_of_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "kai") as kai:
            caplog.clear()
            with caplog.at_level(logging.INFO):
                for _ in range(20):
                    await (await call(kai)).aclose()
                for _ in range(20):
                    channel = await call(kai)
                    await channel.send([b"\1" + bytes(96)])
                    with pytest.raises(Gone):
                        await channel.receive()
                    await channel.aclose()
            told = [each.getMessage() for each in caplog.records if each.name.startswith("loopsy")]
            assert 1 <= len(told) <= 3, told
            assert all("was refused: unknown_key" in each for each in told)


# The invitation, and who knows its code.


async def begin(machine: Machine, code: str) -> tuple[FramedChannel, SealedChannel, Met]:
    """Call with the code, up to where the caller is bound to its nonce."""
    stranger = StrangeMachine("mallory")
    calling = call_with_code(code, stranger.identity.private)
    channel = await call(machine)
    await channel.send([calling.first_message])
    [second] = await channel.receive()
    met = calling.hear(second, stranger.introduction)
    await channel.send([met.third_message])
    sealed = SealedChannel(channel, met.established.connection)
    await sealed.send([met.commitment])
    return channel, sealed, met


async def test_who_does_not_like_the_number_gets_no_other_unseen(tmp_path: Path) -> None:
    """A caller knows the number before the user sees it; going then must not be for nothing."""
    with trio.fail_after(PATIENCE):
        async with (
            open_machine(tmp_path, "kai") as kai,
            kai.client.open_call(InvitePeer()) as inviting,
        ):
            code = await code_of(inviting)
            channel, sealed, met = await begin(kai, code)
            met.hear((await sealed.receive())[0])  # the number, and it is not the wanted one
            await channel.aclose()
            with pytest.raises(Refused, match=r"burnt.*the right one broke off"):
                await inviting.answer()


def with_no_proper_key(code: str) -> bytes:
    """Return a first message whose ephemeral key is a point of low order, with a right proof."""
    noise = bytes(32)
    proof = hmac.digest(code.encode(), b"loopsy/1 invitation" + noise, "sha256")[:16]
    return b"\3" + proof + noise


def and_no_further(code: str) -> bytes:
    return call_with_code(code, StrangeMachine("mallory").identity.private).first_message


@pytest.mark.parametrize("first_message", [with_no_proper_key, and_no_further])
async def test_who_knows_the_code_and_goes_no_further_costs_a_try_and_no_more(
    tmp_path: Path, first_message: Callable[[str], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairing_file, "STEPS", 0.3)
    with trio.fail_after(PATIENCE):
        async with (
            open_machine(tmp_path, "kai") as kai,
            open_machine(tmp_path, "mac", lan=False) as mac,
            kai.client.open_call(InvitePeer()) as inviting,
        ):
            code = await code_of(inviting)
            for _ in range(4):
                channel = await call(kai)
                await channel.send([first_message(code)])
                with suppress(Gone):
                    while True:
                        await channel.receive()
                await channel.aclose()
            monkeypatch.setattr(pairing_file, "STEPS", PATIENCE)
            request = JoinPeer(address=kai.address, code=code)
            async with mac.client.open_call(request) as joining:
                await next_of(joining)
                await next_of(inviting)


async def test_of_two_that_come_with_the_code_one_is_compared_and_it_costs_no_try(
    tmp_path: Path,
) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            open_machine(tmp_path, "kai") as kai,
            open_machine(tmp_path, "mac", lan=False) as mac,
            open_machine(tmp_path, "pi", lan=False) as pi,
            kai.client.open_call(InvitePeer()) as inviting,
        ):
            request = JoinPeer(address=kai.address, code=await code_of(inviting))
            async with mac.client.open_call(request) as joining:
                assert (await comparing(joining)).number == (await comparing(inviting)).number
                for _ in range(6):
                    with pytest.raises(Refused, match="somebody else is being paired"):
                        await pi.client.ask(request)
                await inviting.send_item(Confirm(same=True))
                await joining.send_item(Confirm(same=True))
                await joining.answer()
            await inviting.answer()
            assert [peer.name for peer in await kai.peers()] == ["mac"]
            assert not await pi.peers()


async def test_who_is_lost_before_its_user_has_said_yes_is_not_kept(tmp_path: Path) -> None:
    """Our user's yes alone pairs nobody, and the invitation stands."""
    with trio.fail_after(PATIENCE):
        async with (
            open_machine(tmp_path, "kai") as kai,
            kai.client.open_call(InvitePeer()) as inviting,
        ):
            code = await code_of(inviting)
            channel, sealed, met = await begin(kai, code)
            compared = met.hear((await sealed.receive())[0])
            assert compared.reveal is not None
            await sealed.send([compared.reveal])
            assert (await comparing(inviting)).number == compared.number
            await inviting.send_item(Confirm(same=True))
            assert read_verdict((await sealed.receive())[0])
            await channel.aclose()
            again = await next_of(inviting)
            assert isinstance(again, Invited)
            assert (again.code, again.tries_left) == (code, 4)
            assert not await kai.peers()


async def test_a_machine_does_not_pair_with_itself(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with (
            open_machine(tmp_path, "kai") as kai,
            kai.client.open_call(InvitePeer()) as inviting,
        ):
            code = await code_of(inviting)
            with pytest.raises(LoopsyError, match="this machine itself"):
                await kai.client.ask(JoinPeer(address=kai.address, code=code))


# Another protocol.


async def test_a_caller_of_a_newer_protocol_is_told_so_and_so_is_our_user(tmp_path: Path) -> None:
    newer = StrangeMachine("future", newest=3, oldest=2)
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "kai") as kai:
            await newer.known_to(kai)
            with pytest.raises(Gone):
                async with newer.talk(kai) as talking:
                    await talking.ask(Hello())
            peer = await kai.peer(lambda peer: "newer protocol (2)" in (peer.problem or ""))
            assert peer.problem is not None
            assert "update Loopsy here" in peer.problem
            with pytest.raises(Gone, match=r"future is not reached: .* newer protocol"):
                await kai.client.peer("future").sessions()

            # It is updated, or goes back.
            newer.introduction = Introduction("future", "9.9", 3, 1)
            async with newer.talk(kai) as talking:
                await talking.ask(Hello())
                await kai.peer(reached)


async def test_a_machine_of_a_newer_protocol_is_not_talked_to(tmp_path: Path) -> None:
    newer = StrangeMachine("future", newest=3, oldest=2)
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "kai") as kai, newer.listening() as address:
            await newer.known_to(kai, address)
            peer = await kai.peer(lambda peer: "newer protocol" in (peer.problem or ""))
            assert away(peer)


async def test_pairing_across_protocols_ends_in_a_sentence_on_both_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "kai") as kai, open_machine(tmp_path, "mac") as mac:
            mac.node.door.introduction = Introduction("mac", "9.9", 3, 2)
            async with kai.client.open_call(InvitePeer()) as inviting:
                request = JoinPeer(address=kai.address, code=await code_of(inviting))

                def as_the_newer(theirs: Introduction) -> None:
                    if theirs.protocol < 2:
                        raise Misconfigured("kai speaks an older protocol: update Loopsy there")
                    raise Misconfigured("mac speaks a newer protocol: update Loopsy here")

                monkeypatch.setattr(pairing_file, "check_protocol", as_the_newer)
                with pytest.raises(Misconfigured, match=r"older protocol.*update Loopsy there"):
                    await mac.client.ask(request)
                with pytest.raises(Misconfigured, match=r"newer protocol.*update Loopsy here"):
                    await inviting.answer()


# Paired machines that misbehave.


@pytest.mark.parametrize(
    "told",
    [
        {"port": 99_999_999},
        {"port": -1},
        {"port": "19533 198.51.100.1:22"},
        {"version": "x" * 100_000},
        {"relay": "http://" + "x" * 100_000},
        {"relay": "file:///etc/passwd"},
        {"relay": "http://user:secret@127.0.0.1:1/?#"},
    ],
)
async def test_what_a_machine_says_of_itself_ends_nothing_but_its_connection(
    tmp_path: Path, told: dict[str, object]
) -> None:
    liar = StrangeMachine("liar")
    asked = trio.Event()

    async def answer(request: Asked) -> object:
        asked.set()
        await trio.lowlevel.checkpoint()
        return (
            {"url": told.get("relay"), "token": "t"} if request.op == "peers.pass" else liar.hello
        )

    liar.hello |= told
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "kai") as kai:
            await liar.known_to(kai)
            async with liar.talk(kai, answer) as talking:
                await talking.ask(Hello())
                await asked.wait()
                with trio.move_on_after(0.2):
                    await talking.wait_closed()
            contact = kai.node.door.book.find("liar", "machine")
            assert contact.addresses == ()
            assert contact.relay_url is None
            assert len(contact.version or "") < 100
            await kai.client.status()
        async with open_machine(tmp_path, "kai") as kai:  # and it starts again
            assert len(await kai.peers()) == 1


async def test_a_machine_that_hangs_up_at_once_is_not_called_in_a_storm(tmp_path: Path) -> None:
    rude = StrangeMachine("rude")

    async def hang_up(channel: SealedChannel) -> None:
        await channel.aclose()

    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "kai") as kai, rude.listening(hang_up) as address:
            await rude.known_to(kai, address)
            await trio.sleep(3)
            assert 2 <= rude.calls <= 6


async def test_a_contact_whose_time_is_over_is_not_called(tmp_path: Path) -> None:
    old = StrangeMachine("old")
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "kai") as kai, old.listening() as address:
            await old.known_to(kai, address)
            await kai.peer(reached)
            await kai.client.ask(GrantPeer(peer="old", expires=time.time() + 0.5))
            peer = await kai.peer(lambda peer: "time here is over" in (peer.problem or ""))
            assert away(peer)
            calls = old.calls
            await trio.sleep(1.5)
            assert old.calls == calls
            await kai.client.ask(GrantPeer(peer="old", expires=time.time() + 60))
            await kai.peer(reached)


async def test_an_address_that_says_nothing_delays_the_others_by_a_moment(tmp_path: Path) -> None:
    kind = StrangeMachine("kind")

    async def tarpit(_: trio.SocketStream) -> None:
        await trio.sleep_forever()

    with trio.fail_after(PATIENCE):
        async with (
            open_machine(tmp_path, "kai", lan=False) as kai,
            kind.listening() as address,
            trio.open_nursery() as nursery,
        ):
            ports = []
            for _ in range(3):
                serve = partial(trio.serve_tcp, tarpit, 0, host="127.0.0.1")
                [listener] = await nursery.start(serve)
                ports.append(listener.socket.getsockname()[1])
            places = (*(f"127.0.0.1:{port}" for port in ports), address)
            began = trio.current_time()
            await kind.known_to(kai)
            book = kai.node.door.book
            await book.change(
                book.find("kind", "machine"), lambda known: attrs.evolve(known, addresses=places)
            )
            await kai.peer(reached)
            assert trio.current_time() - began < 3
            nursery.cancel_scope.cancel()


async def test_where_the_network_says_that_a_machine_is_is_not_run_after_blindly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hundred wrong places a second, and the machine is called a few times at that."""
    asked: list[tuple[str, ...]] = []

    async def call_first(addresses: list[str], _: object) -> dict[str, LoopsyError]:
        asked.append(tuple(addresses))
        await trio.sleep(0.01)
        return {}

    monkeypatch.setattr(keeper_file, "call_first", call_first)
    gone = StrangeMachine("gone")
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "kai", lan=False) as kai:
            await gone.known_to(kai)
            keeper = kai.node.machines._keeper  # noqa: SLF001
            for number in range(400):
                keeper.found(gone.id, (f"192.0.2.{number % 250}:1",))
                await trio.sleep(0.005)
            assert 2 <= len(asked) <= 12
            assert asked[-1][0].startswith("192.0.2.")


async def test_a_hundred_thousand_jobs_are_not_run_and_nobody_else_is_worse_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the limits of a fresh home: 30 a minute, then Busy, with the seconds to wait."""
    plain = "server: {{port: 0, name: {name}}}\ndiscovery: {{enabled: false}}\n"
    monkeypatch.setattr(machines_world, "SETTINGS", plain)
    greedy = StrangeMachine("greedy")
    asked, refused, ran, at_once = 2_000, 0, 0, 64

    async def ask_many(conversation: Conversation, share: int) -> None:
        nonlocal refused, ran
        for _ in range(share):
            try:
                await conversation.ask(RunJob(argv=["true"]))
                ran += 1
            except Busy:
                refused += 1

    async def run_one(client: Client) -> float:
        """Return how long the machine's own user waits for a job."""
        began = trio.current_time()
        assert (await client.run(["true"])).exit_code == 0
        return trio.current_time() - began

    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "kai") as kai:
            await greedy.known_to(kai)
            alone = [await run_one(kai.client) for _ in range(5)]
            start = trio.current_time()
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            async with greedy.talk(kai) as talking, trio.open_nursery() as nursery:
                for _ in range(at_once):
                    nursery.start_soon(ask_many, talking, asked // at_once)
                waits = []
                while nursery.child_tasks:
                    waits.append(await run_one(kai.client))
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            assert ran <= 31 + (trio.current_time() - start) / 2
            assert ran + refused == asked // at_once * at_once
            assert median(waits) < 20 * max(alone), (waits, alone)
            assert grown < 64_000  # KiB
            lines = list(read_audit_log(kai.home.audit_log))
            assert sum(each.result == "busy" for each in lines) == refused


async def test_requests_of_one_contact_are_counted_over_all_its_connections(tmp_path: Path) -> None:
    many = StrangeMachine("many")
    opened, busy = 0, 0

    async def watch(conversation: Conversation) -> None:
        nonlocal opened, busy
        try:
            async with conversation.open_call(WatchSessions()) as watching:
                await watching.receive()
                opened += 1
                await trio.sleep_forever()
        except Busy:
            busy += 1

    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "kai") as kai:
            await many.known_to(kai)
            async with many.talk(kai) as one, many.talk(kai) as two, many.talk(kai) as three:
                async with trio.open_nursery() as nursery:
                    for conversation in (one, two, three):
                        for _ in range(AT_ONCE // 3 + 20):
                            nursery.start_soon(watch, conversation)
                    await eventually(lambda: opened + busy == 3 * (AT_ONCE // 3 + 20))
                    assert opened == AT_ONCE
                    assert busy
                    with pytest.raises(Busy, match="are open here already"):
                        await one.ask(ListSessions())
                    nursery.cancel_scope.cancel()
                await eventually(lambda: not kai.node._router._limits._open)  # noqa: SLF001
                await three.ask(ListSessions())
