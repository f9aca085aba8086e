"""The rules of approvals alone: no disk, no sessions, and a clock that jumps."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from loopsy_core.errors import Busy, NotFound, Refused
from loopsy_core.home import PeerId
from loopsy_core.node.approvals import AFTER_DENIAL, ASKS, MAX_NOTICES, MINUTE, Approvals
from loopsy_core.node.grants import Asker
from loopsy_core.peers import MIGRATIONS, Book, Contact
from loopsy_core.wire import PRESETS, ApprovalDecided
from tests.core.node.phones_world import Recorded
from tests.world import InlineDatabase

if TYPE_CHECKING:
    from trio.testing import MockClock

    from loopsy_core.wire import ApprovalRequest


class Desk:
    """A machine's user with a book of phones, and what was shown on the desktop."""

    def __init__(self) -> None:
        self.book = Book(InlineDatabase(MIGRATIONS), [])  # type: ignore[arg-type]
        self.events = Recorded()
        self.notices: list[str] = []
        self.approvals = Approvals(self.book, self.events, self.notices.append)

    async def phone(self, letter: str, name: str = "pixel", preset: str = "phone") -> Asker:
        grants = frozenset(PRESETS[preset])  # type: ignore[index]
        contact = Contact(PeerId(letter * 52), name, "phone", grants, 1000.0)
        await self.book.put(contact)
        return Asker(f"phone {name}", contact.grants, contact.id)

    def wish_of(self, asker: Asker) -> ApprovalRequest:
        [wish] = [each for each in self.approvals.list() if each.contact == asker.contact]
        return wish

    def may(self, asker: Asker) -> bool:
        assert asker.contact is not None
        contact = self.book.get(asker.contact)
        return contact is not None and contact.auto_approve


async def is_refused(desk: Desk, asker: Asker, why: str, kind: str = "claude") -> None:
    with pytest.raises(Refused, match=why):
        await desk.approvals.need(asker, kind)


async def test_a_yes_reaches_the_wish_that_was_shown_whatever_phones_call_themselves(
    autojump_clock: MockClock,
) -> None:
    desk = Desk()
    honest = await desk.phone("b")
    wanted = "b" * 8
    impostors = [await desk.phone("a", wanted), await desk.phone("c", "pixel")]
    async with trio.open_nursery() as nursery:
        for asker in impostors:
            nursery.start_soon(is_refused, desk, asker, "in time")
        nursery.start_soon(desk.approvals.need, honest, "claude")
        await wait_all_tasks_blocked()
        for reference in (wanted, "pixel", honest.contact):
            with pytest.raises(NotFound):
                await desk.approvals.decide(str(reference), allow=True)
        await desk.approvals.decide(desk.wish_of(honest).id, allow=True)
    assert [desk.may(asker) for asker in (honest, *impostors)] == [True, False, False]


async def test_a_wish_that_was_taken_back_and_asked_again_is_another(
    autojump_clock: MockClock,
) -> None:
    desk = Desk()
    asker = await desk.phone("a")
    with trio.CancelScope() as first:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.approvals.need, asker, "claude")
            await wait_all_tasks_blocked()
            shown = desk.wish_of(asker)
            first.cancel()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(is_refused, desk, asker, "said no", "codex")
        await wait_all_tasks_blocked()
        with pytest.raises(NotFound, match="lists those that do"):
            await desk.approvals.decide(shown.id, allow=True)
        assert not desk.may(asker)
        await desk.approvals.decide(desk.wish_of(asker).id, allow=False)


@pytest.mark.parametrize("preset", ["viewer", "phone"])
async def test_a_yes_given_while_a_phone_pairs_anew_is_nobodys(
    autojump_clock: MockClock, preset: str
) -> None:
    desk = Desk()
    asker = await desk.phone("a")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(is_refused, desk, asker, "nobody confirmed")
        await wait_all_tasks_blocked()
        wish = desk.wish_of(asker)
        await desk.phone("a", preset=preset)
        with pytest.raises(NotFound, match="paired anew"):
            await desk.approvals.decide(wish.id, allow=True)
    assert asker.contact is not None
    now = desk.book.get(asker.contact)
    assert now is not None
    assert (now.grants, now.auto_approve) == (PRESETS[preset], False)  # type: ignore[index]


async def test_a_yes_given_while_a_phone_is_revoked_is_nobodys(autojump_clock: MockClock) -> None:
    desk = Desk()
    asker = await desk.phone("a")
    assert asker.contact is not None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(is_refused, desk, asker, "nobody confirmed")
        await wait_all_tasks_blocked()
        await desk.book.remove(asker.contact)
        with pytest.raises(NotFound, match="revoked"):
            await desk.approvals.decide(desk.wish_of(asker).id, allow=True)
    assert desk.book.get(asker.contact) is None


async def ask_in_vain_or_not(desk: Desk, asker: Asker) -> None:
    with suppress(Refused):
        await desk.approvals.need(asker, "claude")


async def test_only_the_first_of_two_answers_counts(autojump_clock: MockClock) -> None:
    desk = Desk()
    asker = await desk.phone("a")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_in_vain_or_not, desk, asker)
        await wait_all_tasks_blocked()
        wish = desk.wish_of(asker).id
        late: list[bool] = []

        async def answer(allow: bool) -> None:
            try:
                await desk.approvals.decide(wish, allow=allow)
            except NotFound:
                late.append(allow)

        async with trio.open_nursery() as answers:
            answers.start_soon(answer, True)
            answers.start_soon(answer, False)
        [second] = late
    assert desk.may(asker) == (not second)
    assert [type(event) for event in desk.events.items].count(ApprovalDecided) == 1


async def test_what_was_allowed_is_taken_back_without_revoking(autojump_clock: MockClock) -> None:
    desk = Desk()
    asker = await desk.phone("a")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.approvals.need, asker, "claude")
        await wait_all_tasks_blocked()
        await desk.approvals.decide(desk.wish_of(asker).id, allow=True)
    assert desk.may(asker)
    await desk.approvals.withdraw("pixel")
    assert not desk.may(asker)
    assert desk.events.items[-1] == ApprovalDecided("a" * 52, "pixel", False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(is_refused, desk, asker, "said no")
        await wait_all_tasks_blocked()
        await desk.approvals.withdraw("aaaa")  # a wish is denied with it
    await is_refused(desk, asker, "just said no")
    await trio.sleep(AFTER_DENIAL)
    await is_refused(desk, asker, "in time")


async def test_who_asks_and_takes_back_for_ever_is_shown_once_and_then_told_to_wait(
    autojump_clock: MockClock,
) -> None:
    desk = Desk()
    asker, other = await desk.phone("a"), await desk.phone("b", "other")

    async def ask_shortly(who: Asker) -> None:
        with trio.move_on_after(0.1):
            await desk.approvals.need(who, "claude")

    for _ in range(ASKS):
        await ask_shortly(asker)
    for _ in range(100):
        with pytest.raises(Busy, match="too often"):
            await desk.approvals.need(asker, "claude")
    assert len(desk.events.items) == ASKS
    assert len(desk.notices) == 1
    await ask_shortly(other)
    assert len(desk.notices) == 2, "nobody is hidden by another's flood"
    await trio.sleep(MINUTE)
    await ask_shortly(asker)
    assert len(desk.notices) == 3


async def test_many_phones_at_once_do_not_fill_the_desktop(autojump_clock: MockClock) -> None:
    desk = Desk()
    async with trio.open_nursery() as nursery:
        for letter in "abcdefghijklmnop":
            nursery.start_soon(is_refused, desk, await desk.phone(letter), "in time")
        await wait_all_tasks_blocked()
        assert len(desk.approvals.list()) == 16
        assert len(desk.notices) == MAX_NOTICES


async def test_a_notice_ends_with_what_the_phone_calls_itself(autojump_clock: MockClock) -> None:
    desk = Desk()
    asker = await desk.phone("a", "-e do shell script <b>")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(is_refused, desk, asker, "in time")
        await wait_all_tasks_blocked()
    [notice] = desk.notices
    assert notice.startswith("May claude ask nothing")
    assert notice.endswith("device aaaaaaaa, named -e do shell script <b>")
