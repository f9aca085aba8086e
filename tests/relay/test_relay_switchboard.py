"""Bytes find their way, and nobody's trouble is anybody else's."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from loopsy_core.wire.envelope import Bytes, Close, Joined, Left
from loopsy_relay import RelayConfig
from loopsy_relay.accounts import Phone
from loopsy_relay.connection import Ending
from loopsy_relay.switchboard import Switchboard
from tests.relay.relay_world import FakeLine

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

CONFIG = RelayConfig(database=Path("unused"), most_unread=100_000)
VIRTUAL_PATIENCE = 300.0


@attrs.frozen
class Board:
    """A switchboard with a nursery, in which lines are served."""

    switchboard: Switchboard
    nursery: trio.Nursery
    config: RelayConfig

    async def node(self, device: str = "d") -> FakeLine:
        line = FakeLine(self.config.most_unread)
        self.nursery.start_soon(self.switchboard.serve_node, device, line)
        await wait_all_tasks_blocked()
        return line

    async def phone(self, name: str = "p", device: str = "d") -> FakeLine:
        line = FakeLine(self.config.most_unread)
        self.nursery.start_soon(
            self.switchboard.serve_phone, Phone(name, device), "192.0.2.1", line
        )
        await wait_all_tasks_blocked()
        return line


@asynccontextmanager
async def open_board(config: RelayConfig = CONFIG) -> AsyncGenerator[Board]:
    switchboard = Switchboard(config)
    # The watch keeps the clock going for ever, so that nothing else would end a wait in vain.
    with trio.fail_after(VIRTUAL_PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(switchboard.keep_watch)
            yield Board(switchboard, nursery, config)
            nursery.cancel_scope.cancel()


def conn_of(node: FakeLine, client: str = "p") -> int:
    """Return the number of the newest connection of the phone `client`."""
    return [
        envelope.conn
        for envelope in node.envelopes()
        if isinstance(envelope, Joined) and envelope.client == client
    ][-1]


async def test_sealed_bytes_pass_both_ways(autojump_clock: MockClock) -> None:
    async with open_board() as board:
        node = await board.node()
        phone = await board.phone()
        conn = conn_of(node)
        assert node.envelopes() == [Joined(conn, "p", "192.0.2.1")]
        phone.say(b"up")
        await node.wait_sent(2)
        assert node.envelopes()[1] == Bytes(conn, b"up")
        node.say_envelope(Bytes(conn, b"down"))
        assert await phone.wait_sent(1) == [b"down"]


async def test_a_phone_that_leaves_is_reported_once(autojump_clock: MockClock) -> None:
    async with open_board() as board:
        node = await board.node()
        phone = await board.phone()
        conn = conn_of(node)
        phone.say(b"last words")
        phone.leave()
        await node.wait_sent(3)
        assert node.envelopes()[1:] == [Bytes(conn, b"last words"), Left(conn, "left")]
        assert board.switchboard.phones == 0
        node.say_envelope(Bytes(conn, b"too late"))
        node.say_envelope(Close(conn, "too late"))
        await wait_all_tasks_blocked()
        assert node.ending is None
        assert len(node.sent) == 3


async def test_a_phone_whose_node_is_offline_is_told_so(autojump_clock: MockClock) -> None:
    async with open_board() as board:
        await board.node("another")
        phone = await board.phone()
        assert (await phone.wait_ended()).code == 4404


async def test_a_node_ends_one_phone_after_what_it_said(autojump_clock: MockClock) -> None:
    async with open_board() as board:
        node = await board.node()
        one, other = await board.phone("one"), await board.phone("other")
        conn = conn_of(node, "one")
        node.say_envelope(Bytes(conn, b"wrong"))
        node.say_envelope(Close(conn, "wrong_code:2"))
        assert await one.wait_ended() == Ending(4410, "wrong_code:2")
        assert one.sent == [b"wrong"]
        await wait_all_tasks_blocked()
        assert Left(conn, "wrong_code:2") in node.envelopes()
        assert other.ending is None


async def test_a_lost_node_takes_its_phones_with_it_and_no_others(
    autojump_clock: MockClock,
) -> None:
    async with open_board() as board:
        node, _other_node = await board.node("d"), await board.node("e")
        phone, other = await board.phone("p", "d"), await board.phone("q", "e")
        node.say_envelope(Bytes(conn_of(node), b"the end"))
        node.leave()
        assert (await phone.wait_ended()).code == 4411
        assert phone.sent == [b"the end"]
        assert other.ending is None
        assert board.switchboard.nodes == 1
        assert (await (await board.phone("p", "d")).wait_ended()).code == 4404


async def test_a_second_connection_of_a_node_replaces_the_first(autojump_clock: MockClock) -> None:
    async with open_board() as board:
        old = await board.node()
        phone = await board.phone()
        new = await board.node()
        assert (await old.wait_ended()).code == 4409
        assert (await phone.wait_ended()).code == 4411
        again = await board.phone()
        again.say(b"hello")
        await new.wait_sent(2)
        assert new.envelopes()[1] == Bytes(conn_of(new), b"hello")
        assert board.switchboard.nodes == 1
        assert not any(isinstance(envelope, Left) for envelope in new.envelopes())


async def test_garbage_ends_its_node_and_nobody_else(autojump_clock: MockClock) -> None:
    async with open_board() as board:
        for number, garbage in enumerate([b"", b"\xc1", b"text", b"\x93\x01\x02\x03"]):
            node, other = await board.node(f"bad{number}"), await board.node(f"good{number}")
            phone = await board.phone("p", f"good{number}")
            node.say(garbage)
            assert (await node.wait_ended()).code == 1002
            phone.say(b"still here")
            await other.wait_sent(2)


async def test_a_node_may_not_say_what_only_relays_say(autojump_clock: MockClock) -> None:
    async with open_board() as board:
        for envelope in (Joined(1, "p", ""), Left(1, "")):
            node = await board.node()
            node.say_envelope(envelope)
            assert (await node.wait_ended()).code == 1002


async def test_a_node_reaches_its_own_phones_only(autojump_clock: MockClock) -> None:
    async with open_board() as board:
        mine, theirs = await board.node("mine"), await board.node("theirs")
        phone = await board.phone("p", "theirs")
        conn = conn_of(theirs)
        mine.say_envelope(Bytes(conn, b"forged"))
        mine.say_envelope(Close(conn, "forged"))
        await wait_all_tasks_blocked()
        assert phone.sent == []
        assert phone.ending is None
        assert mine.ending is None


async def test_a_phone_that_does_not_read_is_cut_and_others_are_not(
    autojump_clock: MockClock,
) -> None:
    async with open_board() as board:
        node = await board.node()
        slow, quick = await board.phone("slow"), await board.phone("quick")
        slow.reads = False
        to_slow, to_quick = conn_of(node, "slow"), conn_of(node, "quick")
        for number in range(50):
            node.say_envelope(Bytes(to_slow, bytes(10_000)))
            node.say_envelope(Bytes(to_quick, bytes([number])))
            await wait_all_tasks_blocked()
            assert slow.outbox.waiting <= CONFIG.most_unread
        assert await quick.wait_sent(50) == [bytes([number]) for number in range(50)]
        assert (await slow.wait_ended()).code == 4408
        assert quick.ending is None
        await node.wait_sent(3)
        assert node.envelopes()[2] == Left(to_slow, "it did not read")


async def test_a_cut_phone_that_reads_again_in_time_is_told_why(autojump_clock: MockClock) -> None:
    async with open_board() as board:
        node = await board.node()
        slow = await board.phone()
        slow.reads = False
        conn = conn_of(node)
        for _ in range(20):
            node.say_envelope(Bytes(conn, bytes(10_000)))
        await wait_all_tasks_blocked()
        slow.read_on()
        assert (await slow.wait_ended()).code == 4408
        # What was being sent is finished, what waited is dropped.
        assert 0 < len(slow.sent) < 20


async def test_a_phone_that_is_stuck_is_cut_after_the_stall_limit(
    autojump_clock: MockClock,
) -> None:
    async with open_board() as board:
        node = await board.node()
        stuck = await board.phone()
        stuck.reads = False
        node.say_envelope(Bytes(conn_of(node), b"one small message"))
        began = trio.current_time()
        assert (await stuck.wait_ended()).code == 4408
        assert CONFIG.stall_seconds <= trio.current_time() - began <= CONFIG.stall_seconds + 3
        assert node.ending is None


async def test_a_stuck_node_makes_its_phones_wait_and_is_cut(autojump_clock: MockClock) -> None:
    async with open_board() as board:
        node = await board.node()
        phone = await board.phone()
        await node.wait_sent(1)
        node.reads = False
        for _ in range(50):
            phone.say(bytes(10_000))
        await wait_all_tasks_blocked()
        assert node.outbox.waiting <= CONFIG.most_unread
        assert phone.ending is None  # it waits, unread
        assert (await phone.wait_ended()).code == 4411
        assert CONFIG.stall_seconds <= trio.current_time() <= CONFIG.stall_seconds + 3
        assert (await node.wait_ended()).code == 4408


async def test_phones_that_wait_for_one_node_take_turns(autojump_clock: MockClock) -> None:
    async with open_board() as board:
        node = await board.node()
        flooding, quiet = await board.phone("flooding"), await board.phone("quiet")
        await node.wait_sent(2)
        node.reads = False
        for _ in range(100):
            flooding.say(bytes(10_000))
        await wait_all_tasks_blocked()
        quiet.say(b"me too")
        await wait_all_tasks_blocked()
        node.read_on()
        await node.wait_sent(102)
        place = node.envelopes().index(Bytes(conn_of(node, "quiet"), b"me too"))
        assert place < 25  # behind one queue's worth, not behind all of the flood


async def test_a_phone_that_leaves_a_full_node_is_reported_when_there_is_room(
    autojump_clock: MockClock,
) -> None:
    async with open_board() as board:
        node = await board.node()
        one, other = await board.phone("one"), await board.phone("other")
        await node.wait_sent(2)
        node.reads = False
        for _ in range(50):
            one.say(bytes(10_000))
        await wait_all_tasks_blocked()
        other.leave()
        await wait_all_tasks_blocked()
        node.read_on()
        await node.wait_sent(53)
        assert Left(conn_of(node, "other"), "left") in node.envelopes()


async def test_a_phone_may_connect_only_so_often(autojump_clock: MockClock) -> None:
    async with open_board() as board:
        await board.node()
        phones = [await board.phone() for _ in range(CONFIG.connections_per_phone)]
        assert (await (await board.phone()).wait_ended()).code == 4429
        other = await board.phone("another phone")
        assert other.ending is None
        phones[0].leave()
        await wait_all_tasks_blocked()
        assert (await board.phone()).ending is None


async def test_revoking_cuts_that_phone_only(autojump_clock: MockClock) -> None:
    async with open_board() as board:
        node = await board.node()
        revoked = [await board.phone("p"), await board.phone("p")]
        other = await board.phone("q")
        cuts = board.switchboard.cuts
        board.switchboard.cut_phone("p", "revoked")
        for phone in revoked:
            assert await phone.wait_ended() == Ending(4401, "revoked")
        await wait_all_tasks_blocked()
        assert other.ending is None
        assert not board.switchboard.is_connected("p")
        assert board.switchboard.cuts > cuts
        assert sum(isinstance(envelope, Left) for envelope in node.envelopes()) == 2


async def test_removing_a_machine_cuts_it_and_its_phones(autojump_clock: MockClock) -> None:
    async with open_board() as board:
        node, phone, other = await board.node(), await board.phone(), await board.node("e")
        board.switchboard.cut_device("d", "removed")
        assert await node.wait_ended() == Ending(4401, "removed")
        assert await phone.wait_ended() == Ending(4401, "removed")
        assert other.ending is None


async def test_a_connection_without_a_sign_of_life_ends(autojump_clock: MockClock) -> None:
    async with open_board() as board:
        node, phone = await board.node(), await board.phone()
        phone.alive = False
        assert (await phone.wait_ended()).code is None
        assert trio.current_time() <= CONFIG.ping_seconds
        assert node.ending is None
        node.alive = False
        await node.wait_ended()
        assert trio.current_time() <= 2 * CONFIG.ping_seconds + 1


async def test_closing_tells_everybody_and_whoever_comes_late(autojump_clock: MockClock) -> None:
    async with open_board() as board:
        node, phone = await board.node(), await board.phone()
        board.switchboard.close(Ending(1001, "the relay stops"))
        late = await board.node("late")
        for line in (node, phone, late):
            assert (await line.wait_ended()).code == 1001
        await board.switchboard.wait_empty()
        assert trio.current_time() <= CONFIG.goodbye_seconds


async def test_a_goodbye_to_somebody_stuck_has_its_limit(autojump_clock: MockClock) -> None:
    async with open_board() as board:
        node = await board.node()
        stuck = await board.phone()
        stuck.reads = False
        node.say_envelope(Bytes(conn_of(node), b"unread"))
        await wait_all_tasks_blocked()
        board.switchboard.close(Ending(1001, "the relay stops"))
        await board.switchboard.wait_empty()
        assert trio.current_time() <= CONFIG.goodbye_seconds


async def test_cancelling_leaves_nobody_behind(autojump_clock: MockClock) -> None:
    async with open_board() as board:
        await board.node()
        await board.phone()
        switchboard = board.switchboard
    assert (switchboard.nodes, switchboard.phones) == (0, 0)
    await switchboard.wait_empty()
