"""The audit log of a node: one line a request, whichever door it came by and however it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from loopsy_core.client import Client
from loopsy_core.errors import BadRequest, Busy, LoopsyError, NotFound, Refused
from loopsy_core.home import read_audit_log
from loopsy_core.links import open_conversation
from loopsy_core.wire import (
    AddPeer,
    AskPass,
    GetContext,
    Hello,
    InvitePeer,
    JoinPeer,
    ListContext,
    ListSessions,
    OfferPairing,
    RunJob,
    SetContext,
    StopNode,
)
from tests.core.node import machines_world
from tests.core.node.machines_world import next_of, open_machine, pair, reached
from tests.core.node.strange_machines import StrangeMachine
from tests.world import PATIENCE, MemoryRelay, Phone, eventually, open_knock, open_phone

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from loopsy_core.home import AuditLine
    from loopsy_core.links import Conversation
    from tests.core.node.machines_world import Machine

SETTINGS = """
server: {{port: 0, name: {name}}}
discovery: {{enabled: false}}
rateLimits: {{execute: 5, transfer: 5, context: 5}}
"""


def lines(machine: Machine, op: str) -> list[AuditLine]:
    return [line for line in read_audit_log(machine.home.audit_log) if line.op == op]


async def pair_phone(machine: Machine, phone: Phone, relay: MemoryRelay) -> None:
    used, machine.node.relaying = machine.node.relaying, relay.account()  # type: ignore[assignment]
    offer = await machine.client.ask(OfferPairing())
    machine.node.relaying = used
    greeting = phone.with_code(offer.pair_url, offer.code)
    async with open_phone(machine.node.serve_phone, greeting):
        pass


async def test_each_door_records_who_came_by_it(tmp_path: Path) -> None:
    phone = Phone("pixel")
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "kai") as kai, open_machine(tmp_path, "mac") as mac:
            await pair(kai, mac)
            await mac.peer(reached)
            await pair_phone(kai, phone, MemoryRelay())
            await kai.client.ask(ListSessions())
            await mac.client.peer("kai").ask(ListSessions())
            again = phone.again(kai.node.identity.id)
            async with open_phone(kai.node.serve_phone, again) as client:
                await client.ask(ListSessions())
            told = [(line.actor, line.contact, line.to) for line in lines(kai, "sessions.list")]
            assert told == [
                ("this machine's user", None, None),
                ("machine mac", mac.id, None),
                ("phone pixel", phone.id, None),
            ]
            [passed] = lines(mac, "sessions.list")
            assert (passed.actor, passed.to, passed.result) == (
                "this machine's user",
                "kai",
                "ok",
            )
            assert not lines(kai, "node.hello")  # a sign of life, every few seconds


async def test_a_call_that_is_passed_on_is_recorded_when_it_ends_with_its_time(
    tmp_path: Path,
) -> None:
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "kai") as kai, open_machine(tmp_path, "mac") as mac:
            await pair(kai, mac)
            await mac.peer(reached)
            there = mac.client.peer("kai")
            session = await there.start(["sleep", "60"], name="work")
            async with there.attach(session.id, cols=80, rows=24):
                await trio.sleep(0.3)
                assert not lines(kai, "sessions.attach")
                assert not lines(mac, "sessions.attach")
            await eventually(lambda: bool(lines(kai, "sessions.attach")))
            for machine, actor in ((kai, "machine mac"), (mac, "this machine's user")):
                [line] = lines(machine, "sessions.attach")
                assert (line.actor, line.where) == (actor, session.id)
                assert line.result in ("ok", "left")
                assert 250 < line.ms < 10_000


async def test_whatever_goes_wrong_stands_there_by_its_code_and_no_secret_does(
    tmp_path: Path,
) -> None:
    odd = StrangeMachine("odd")
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "kai") as kai:
            await odd.known_to(kai)
            async with odd.talk(kai) as talking:
                for request, error in (
                    (StopNode(), Refused),
                    (RunJob(argv=["no-such-program", "--password=hunter2"]), LoopsyError),
                    (GetContext(key="nothing"), NotFound),
                ):
                    with pytest.raises(error):
                        await talking.ask(request)
                await unknown(talking)
                await talking.ask(ListSessions())
            with pytest.raises(LoopsyError):
                await kai.client.ask(JoinPeer(address="127.0.0.1:1", code="271828"))
            async with kai.client.open_call(InvitePeer()) as inviting:
                await next_of(inviting)
            await eventually(lambda: bool(lines(kai, "peers.invite")))
            told = {
                line.op: (line.result, line.where) for line in read_audit_log(kai.home.audit_log)
            }
            assert told["node.stop"] == ("refused", None)
            assert told["jobs.run"][0] == "bad_request"
            assert told["context.get"] == ("not_found", "nothing")
            assert told["node.conquer"] == ("bad_request", None)
            assert told["sessions.list"] == ("ok", None)
            assert told["peers.join"] == ("gone", "127.0.0.1:1")
            assert told["peers.invite"] == ("left", None)
            text = kai.home.audit_log.read_text()
            assert "hunter2" not in text
            assert "271828" not in text


class Conquer(Hello, frozen=True, kw_only=True, dict=False):
    """What no version of Loopsy knows."""

    op = "node.conquer"


async def unknown(talking: Conversation) -> None:
    with pytest.raises(BadRequest, match="does not know"):
        await talking.ask(Conquer())


async def ask_until_busy(clients: Sequence[Client]) -> int:
    """Ask by one client after the other; return how often that went well."""
    for asked in range(100):
        try:
            await clients[asked % len(clients)].ask(ListContext())
        except Busy:
            return asked
    return 100


async def test_a_contact_has_one_limit_for_all_its_connections_and_others_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Directly, by the relay, or both at once: five a minute are five a minute."""
    monkeypatch.setattr(machines_world, "SETTINGS", SETTINGS)
    odd, other = StrangeMachine("odd"), StrangeMachine("other")
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "kai") as kai:
            await odd.known_to(kai)
            await other.known_to(kai)
            key = Phone("odd")
            key.private, key.public = odd.identity.private, odd.identity.public
            by_relay = key.again(kai.node.identity.id)
            async with (
                odd.talk(kai) as one,
                odd.talk(kai) as two,
                open_knock(kai.node.serve_phone, by_relay) as (sealed, _),
                open_conversation(sealed, opener=True, answer=odd.answer) as three,
                other.talk(kai) as theirs,
            ):
                assert await ask_until_busy([Client(one), Client(two), Client(three)]) == 5
                assert await ask_until_busy([Client(theirs)]) == 5
                assert await ask_until_busy([kai.client]) == 100
                await one.ask(ListSessions())  # of another kind, which has no limit


async def test_who_has_asked_too_much_is_told_when_to_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines_world, "SETTINGS", SETTINGS)
    odd = StrangeMachine("odd")
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "kai") as kai:
            await odd.known_to(kai)
            async with odd.talk(kai) as talking:
                assert await ask_until_busy([Client(talking)]) == 5
                for request in (SetContext(key="k"), GetContext(key="k"), AskPass()):
                    with pytest.raises(Busy, match=r"\(context\); the next in 1[12] s"):
                        await talking.ask(request)


async def test_a_machine_that_is_added_by_hand_is_recorded_with_its_address(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_machine(tmp_path, "kai", lan=False) as kai:
            odd = StrangeMachine("odd")
            await kai.client.ask(AddPeer(address="kai.local", key=odd.id))
            [line] = lines(kai, "peers.add")
            assert (line.where, line.result) == ("kai.local", "ok")
            await wait_all_tasks_blocked()
