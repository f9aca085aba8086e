"""Messages: against what must be true whatever is cut, crashes or jumps; and case by case."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loopsy_core.capabilities import inbox, outbox
from loopsy_core.errors import BadRequest, Busy, Misconfigured, NotFound
from loopsy_core.home import ContextConfig
from loopsy_core.wire import DeliverMessages, Delivery, NoteRead
from tests.core.capabilities.mail import Machine, Network

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

TTL = 3600.0


@asynccontextmanager
async def open_network(*names: str) -> AsyncGenerator[Network]:
    async with trio.open_nursery() as nursery:
        network = Network(nursery, *names)
        for machine in network.machines:
            await network.start(machine)
        yield network
        nursery.cancel_scope.cancel()


def play(what: object) -> None:
    """Run on a clock that jumps to wherever something happens next."""
    trio.run(what, clock=trio.testing.MockClock(autojump_threshold=0))  # type: ignore[arg-type]


# Whatever happens.

WHO = st.integers(0, 1)
PAUSE = st.sampled_from([0.001, 0.0015, 0.002, 0.1, 1.5, 3.0, 40.0])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), WHO, st.sampled_from([TTL, 5.0])),
        st.tuples(st.just("send and ack"), WHO, PAUSE),
        st.tuples(st.just("ack"), WHO),
        st.tuples(st.just("link")),
        st.tuples(st.just("cut")),
        st.tuples(st.just("crash"), WHO, st.booleans()),
        st.tuples(st.just("jump"), WHO, st.sampled_from([-600.0, -1.0, 0.5, 600.0])),
        st.tuples(st.just("slow"), WHO, st.sampled_from([0.0, 0.001, 1.0])),
        st.tuples(st.just("turn"), st.integers(1, 40)),
        st.tuples(st.just("pass"), PAUSE),
    ),
    min_size=5,
    max_size=40,
)


class Story:
    """What happened, as far as what must be true depends on it."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.sent: dict[str, list[str]] = {machine.name: [] for machine in network.machines}
        self.ends: dict[str, float] = {}
        self.acknowledged: set[str] = set()

    async def take(self, step: tuple[object, ...]) -> None:
        one, two = self.network.machines
        match step:
            case "send", int(who), float(ttl):
                machine, to = self._who(who)
                if machine.up:
                    body = str(len(self.ends))
                    message_id = await machine.send(to, body, ttl)
                    self.sent[machine.name].append(message_id)
                    self.ends[message_id] = machine.clock() + ttl
            case "send and ack", int(who), float(seconds):
                await self.take(("send", who, TTL))
                await trio.sleep(seconds)
                await self.take(("ack", 1 - who))
            case "ack", int(who):
                machine, _ = self._who(who)
                for envelope in machine.inbox() if machine.up else []:
                    if envelope in machine.inbox():  # and has not expired meanwhile
                        await machine.ack(envelope.id)
                        self.acknowledged.add(envelope.id)
            case ("link",):
                await self._link()
            case ("cut",):
                self.network.cut(one, two)
            case "crash", int(who), bool(again):
                machine, _ = self._who(who)
                if machine.up:
                    self.network.crash(machine)
                if again:
                    await self.network.start(machine)
            case "jump", int(who), float(seconds):
                self._who(who)[0].skew += seconds
            case "slow", int(who), float(seconds):
                self._who(who)[0].database.slowness = seconds
            case "turn", int(turns):
                for _ in range(turns):
                    await trio.lowlevel.checkpoint()
            case "pass", float(seconds):
                await trio.sleep(seconds)

    async def _link(self) -> None:
        one, two = self.network.machines
        if one.up and two.up and not self.network.linked(one, two):
            await self.network.link(one, two)

    async def end_well(self) -> None:
        """Have both machines run, and meet for a while."""
        for machine in self.network.machines:
            if not machine.up:
                await self.network.start(machine)
        await self._link()
        await trio.sleep(120)

    def check(self) -> None:
        for machine in self.network.machines:
            to = self.network.machines[1 - self.network.machines.index(machine)]
            sent, arrived = self.sent[machine.name], to.arrived()
            assert machine.counted() == machine.to_be_counted()
            assert arrived == [each for each in sent if each in set(arrived)], "once, in order"
            for message_id in sent:
                state = machine.state(message_id)
                if message_id not in arrived:
                    assert state == "expired"
                    assert machine.latest >= self.ends[message_id]
                elif message_id in self.acknowledged:
                    assert state == "read"
                else:
                    # Its answer may have been lost for longer than the message's time.
                    assert state == "delivered" or (
                        state == "expired" and machine.latest >= self.ends[message_id]
                    )

    def _who(self, number: int) -> tuple[Machine, Machine]:
        machines = self.network.machines
        return machines[number], machines[1 - number]


@given(steps=STEPS)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_messages_come_once_and_in_order_whatever_happens(
    steps: list[tuple[object, ...]],
) -> None:
    async def main() -> None:
        async with open_network("kai", "mac") as network:
            story = Story(network)
            await story.take(("link",))
            for step in steps:
                await story.take(step)
            await story.end_well()
            story.check()

    play(main)


# Case by case.


@asynccontextmanager
async def open_pair() -> AsyncGenerator[tuple[Network, Machine, Machine]]:
    """Two machines that are connected."""
    async with open_network("kai", "mac") as network:
        kai, mac = network.machines
        await network.link(kai, mac)
        yield network, kai, mac


async def settled() -> None:
    """Let all that is under way come to rest."""
    await trio.testing.wait_all_tasks_blocked()


async def test_a_message_comes_and_its_sender_learns_of_it(autojump_clock: object) -> None:
    async with open_pair() as (_, kai, mac):
        message_id = await kai.send(mac, "hello")
        assert kai.state(message_id) == "waiting"
        await settled()
        [came] = mac.inbox()
        assert (came.from_, came.to, came.body, came.id) == ("kai", "mac", "hello", message_id)
        assert came.state is None
        assert kai.state(message_id) == "delivered"
        await mac.ack(message_id)
        await settled()
        assert mac.inbox() == []
        assert kai.state(message_id) == "read"
        assert kai.query("SELECT value FROM context WHERE key = 'ack:mac'") == [(message_id,)]


async def test_thousands_that_waited_come_in_the_order_of_sending(autojump_clock: object) -> None:
    async with open_network("kai", "mac") as network:
        kai, mac = network.machines
        sent = [await kai.send(mac, "x" * (number % 7) * 5_000) for number in range(900)]
        await network.link(kai, mac)
        await settled()
        assert mac.arrived() == sent
        assert sent == sorted(sent), "whoever sorts the ids has them in order too"
        assert [envelope.id for envelope in mac.inbox()] == sent


async def test_two_connections_at_once_do_not_mix_the_order(autojump_clock: object) -> None:
    async with open_pair() as (network, kai, mac):
        mac.database.slowness = 0.01
        sent = [await kai.send(mac, str(number)) for number in range(250)]
        await network.link(kai, mac)
        await trio.sleep(10)
        assert mac.arrived() == sent


async def test_a_message_to_this_machine_itself_is_there_at_once(autojump_clock: object) -> None:
    async with open_network("kai") as network:
        (kai,) = network.machines
        message_id = await kai.send(kai, "note")
        assert kai.state(message_id) == "delivered"
        assert [(envelope.body, envelope.state) for envelope in kai.inbox()] == [("note", None)]
        await kai.ack(message_id)
        assert kai.state(message_id) == "read"


async def test_what_cannot_be_handed_over_in_time_expires_and_is_told(
    autojump_clock: object,
) -> None:
    async with open_network("kai", "mac") as network:
        kai, mac = network.machines
        message_id = await kai.send(mac, "hurry", ttl=10)
        await trio.sleep(9)
        assert kai.state(message_id) == "waiting"
        await trio.sleep(1.2)
        assert kai.state(message_id) == "expired"
        await network.link(kai, mac)
        await trio.sleep(5)
        assert mac.arrived() == []


async def test_a_machine_that_takes_no_messages_says_why(autojump_clock: object) -> None:
    async with open_pair() as (_, kai, mac):
        mac.refuses = True
        failed = await kai.send(mac, "hello")
        await settled()
        assert kai.state(failed) == "failed"
        assert "needs 'message'" in str(kai.outbox()[failed].error)
        mac.refuses = False
        await kai.send(mac, "again")
        await settled()
        assert [envelope.body for envelope in mac.inbox()] == ["again"]


async def test_a_machine_that_is_forgotten_gets_nothing_and_the_sender_is_told(
    autojump_clock: object,
) -> None:
    async with open_network("kai", "mac") as network:
        kai, mac = network.machines
        waiting = await kai.send(mac, "hello")
        assert kai.shared is not None
        await kai.shared.messages.forget(mac.id)
        assert kai.state(waiting) == "failed"
        assert "not paired" in str(kai.outbox()[waiting].error)
        # The same, if the node went down in that moment.
        orphaned = await kai.send(mac, "and this")
        network.crash(kai)
        network.machines.remove(mac)
        await network.start(kai)
        assert kai.state(orphaned) == "failed"


async def test_a_full_inbox_has_the_sender_wait_and_loses_nothing(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MOST_UNREAD", 5)
    async with open_pair() as (_, kai, mac):
        sent = [await kai.send(mac, str(number)) for number in range(12)]
        await trio.sleep(100)
        assert mac.arrived() == sent[:5]
        assert kai.state(sent[5]) == "waiting"
        while len(mac.arrived()) < 12:
            for envelope in mac.inbox():
                await mac.ack(envelope.id)
            await trio.sleep(40)
        assert mac.arrived() == sent


async def test_a_message_waits_until_there_is_room_for_it(autojump_clock: object) -> None:
    async with open_pair() as (network, kai, mac):
        mac.limits = ContextConfig(max_entries=3)
        network.crash(mac)
        await network.start(mac)
        await network.link(kai, mac)
        for key in "abc":
            await mac.put(key, "")
        sent = await kai.send(mac, "hello")
        await trio.sleep(100)
        assert (kai.state(sent), mac.arrived()) == ("waiting", [])
        await mac.delete("a")
        await trio.sleep(100)
        assert (kai.state(sent), mac.arrived()) == ("delivered", [sent])


async def test_a_flood_of_short_lived_messages_ends_somewhere(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MOST_REMEMBERED", 30)
    async with open_network("kai", "mac") as network:
        _, mac = network.machines
        assert mac.shared is not None

        async def deliver(message_id: str) -> None:
            assert mac.shared is not None
            short = DeliverMessages(messages=[Delivery(message_id, 0, "chat", "", 0.001)])
            await mac.shared.messages.receive(short, "key of kai", "kai")
            await trio.sleep(1)

        for number in range(30):
            await deliver(str(number))
        with pytest.raises(Busy, match="in the last days"):
            await deliver("one too many")
        await trio.sleep(2 * 86_400)
        await deliver("days later")


async def test_a_full_disk_there_only_takes_longer(autojump_clock: object) -> None:
    async with open_pair() as (_, kai, mac):
        mac.database.full = True
        message_id = await kai.send(mac, "hello")
        await trio.sleep(60)
        assert kai.state(message_id) == "waiting"
        mac.database.full = False
        await trio.sleep(60)
        assert kai.state(message_id) == "delivered"
        assert mac.arrived() == [message_id]


async def test_a_full_disk_here_doubles_nothing_and_cuts_no_connection(
    autojump_clock: object,
) -> None:
    async with open_pair() as (network, kai, mac):
        mac.database.slowness = 0.1
        message_id = await kai.send(mac, "hello")
        await trio.sleep(0.05)
        kai.database.full = True
        with pytest.raises(Misconfigured):
            await kai.send(mac, "no room")
        await trio.sleep(60)
        assert network.linked(kai, mac)
        assert kai.state(message_id) == "waiting"
        kai.database.full = False
        await trio.sleep(60)
        assert kai.state(message_id) == "delivered"
        assert mac.arrived() == [message_id]


async def test_a_message_deleted_from_the_outbox_is_not_sent(autojump_clock: object) -> None:
    async with open_network("kai", "mac") as network:
        kai, mac = network.machines
        taken_back = await kai.send(mac, "wrong")
        kept = await kai.send(mac, "right")
        await kai.delete(f"outbox:{taken_back}")
        await network.link(kai, mac)
        await settled()
        assert mac.arrived() == [kept]


@pytest.mark.parametrize("scribble", ["nonsense", '{"from": "kai"}', None])
async def test_what_somebody_made_of_an_outbox_by_hand_holds_up_nothing(
    autojump_clock: object, scribble: str | None
) -> None:
    async with open_network("kai", "mac") as network:
        kai, mac = network.machines
        before = await kai.send(mac, "one")
        spoiled = await kai.send(mac, "two")
        after = await kai.send(mac, "three")
        value = scribble or str(
            kai.query("SELECT value FROM context WHERE key = ?", f"outbox:{spoiled}")[0][0]
        ).replace("chat", "no such type")
        await kai.put(f"outbox:{spoiled}", value)
        await network.link(kai, mac)
        await trio.sleep(60)
        assert mac.arrived() == [before, after]


async def test_a_machine_that_gets_another_name_keeps_its_inbox(autojump_clock: object) -> None:
    async with open_pair() as (network, kai, mac):
        sent = [await kai.send(mac, str(number)) for number in range(3)]
        await settled()
        network.crash(mac)
        mac.name = "macbook"
        await network.start(mac)
        assert [envelope.id for envelope in mac.inbox()] == sent
        await network.link(kai, mac)
        await mac.ack(sent[1])
        await settled()
        assert [kai.state(each) for each in sent] == ["delivered", "read", "delivered"]
        assert [envelope.id for envelope in mac.inbox()] == [sent[0], sent[2]]
        assert mac.query("SELECT key FROM context WHERE key LIKE 'inbox:mac:%'") == []


async def test_an_acknowledgement_may_be_said_twice_but_not_of_what_never_came(
    autojump_clock: object,
) -> None:
    async with open_pair() as (_, kai, mac):
        message_id = await kai.send(mac, "hello")
        await settled()
        await mac.ack(message_id)
        await mac.ack(message_id)
        for unknown in ("1-kai-ffff", "", message_id[:-1]):
            with pytest.raises(NotFound, match="has come here"):
                await mac.ack(unknown)


async def test_a_message_put_there_by_hand_is_acknowledged_like_others(
    autojump_clock: object,
) -> None:
    async with open_network("kai") as network:
        (kai,) = network.machines
        await kai.put("inbox:kai:7-agent-0000", "by hand")
        await kai.ack("7-agent-0000")
        assert kai.query("SELECT key FROM context") == []


async def test_only_whom_it_was_sent_to_can_say_that_it_was_read(autojump_clock: object) -> None:
    async with open_pair() as (_, kai, mac):
        message_id = await kai.send(mac, "hello")
        await settled()
        assert kai.shared is not None
        lie = NoteRead(ids=[message_id])
        await kai.shared.messages.note_read(lie, "key of eve", "eve")
        assert kai.state(message_id) == "delivered"
        assert kai.query("SELECT key FROM context WHERE key LIKE 'ack:%'") == []


async def test_nobody_overwrites_the_message_of_another_by_its_id(autojump_clock: object) -> None:
    async with open_pair() as (_, kai, mac):
        message_id = await kai.send(mac, "hello")
        await settled()
        assert mac.shared is not None
        forged = DeliverMessages(messages=[Delivery(message_id, 0, "chat", "forged", 60.0)])
        with pytest.raises(Exception, match="another machine has sent"):
            await mac.shared.messages.receive(forged, "key of eve", "eve")
        assert [envelope.body for envelope in mac.inbox()] == ["hello"]


@pytest.mark.parametrize(
    "hostile",
    [
        Delivery("\x1b[31m", 0, "chat", "b", 60.0),
        Delivery("1-kai-0000", 0, "chat", "b", 60.0, reply_to="\x1b]0;title\x07"),
    ],
)
async def test_a_machine_cannot_send_what_cannot_be_shown(
    autojump_clock: object, hostile: Delivery
) -> None:
    async with open_network("mac") as network:
        (mac,) = network.machines
        assert mac.shared is not None
        innocent = Delivery("1-kai-0001", 0, "chat", "b", 60.0)
        with pytest.raises(BadRequest, match="control characters"):
            await mac.shared.messages.receive(
                DeliverMessages(messages=[innocent, hostile]), "key of kai", "kai"
            )
        assert mac.inbox() == []


async def test_who_a_message_is_from_is_who_hands_it_over_whatever_it_says(
    autojump_clock: object,
) -> None:
    """Its id may name another sender, its time be no time, its body what a parser dies of."""
    async with open_pair() as (_, kai, mac):
        forged = Delivery("9-kai-0000", 2**53, "response", "[" * 200_000, 60.0, "1-mac-ffff")
        assert mac.shared is not None
        await mac.shared.messages.receive(DeliverMessages(messages=[forged]), "key of eve", "eve")
        assert [(each.from_, each.to) for each in mac.inbox()] == [("eve", "mac")]
        sent = await kai.send(mac, "hello")
        await settled()
        assert [each.from_ for each in mac.inbox()] == ["eve", "kai"]
        await mac.ack("9-kai-0000")
        await settled()
        assert kai.state(sent) == "delivered", "the receipt is eve's"


async def test_a_time_that_grew_too_long_as_the_clock_went_back_is_no_obstacle(
    autojump_clock: object,
) -> None:
    async with open_network("kai", "mac") as network:
        kai, mac = network.machines
        message_id = await kai.send(mac, "hello", ttl=30 * 86_400.0)
        kai.skew -= 86_400.0
        await network.link(kai, mac)
        await settled()
        assert kai.state(message_id) == "delivered"


@pytest.mark.parametrize("body", ["x" * 524_289, "\x00" * 200_000])
async def test_a_message_that_does_not_fit_is_refused_at_once(
    autojump_clock: object, body: str
) -> None:
    async with open_pair() as (_, kai, mac):
        with pytest.raises(BadRequest, match="at most"):
            await kai.send(mac, body)
        await kai.send(mac, "\N{SNOWMAN}" * 174_762)
        await settled()
        assert len(mac.inbox()[0].body) == 174_762


async def test_a_queue_that_nobody_fetches_ends_somewhere(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MOST_WAITING", 3)
    async with open_network("kai", "mac") as network:
        kai, mac = network.machines
        for _ in range(3):
            await kai.send(mac, "x")
        with pytest.raises(Busy, match="wait for mac already"):
            await kai.send(mac, "x")
        assert await kai.send(kai, "to myself")
