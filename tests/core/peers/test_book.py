"""The book of contacts: kept on disk and in memory alike, found by name or by a beginning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest
import trio

from loopsy_core.errors import BadRequest, Busy, NotFound
from loopsy_core.home import PeerId
from loopsy_core.kit import open_database
from loopsy_core.peers import MIGRATIONS, Book, Contact, open_book
from loopsy_core.peers import book as book_module
from tests.world import InlineDatabase

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path
    from typing import TypeVar

    T = TypeVar("T")


def contact(letter: str, name: str = "pixel", **more: object) -> Contact:
    made = Contact(PeerId(letter * 52), name, "phone", frozenset({"view", "type"}), 1000.0)
    return attrs.evolve(made, **more)


async def test_contacts_are_kept_on_disk(tmp_path: Path) -> None:
    full = contact("a", "π phone", last_seen=1.5, expires_at=2e9, relay_client="client-1")
    bare = contact("b", created_at=999.0)
    async with open_database(tmp_path / "db", MIGRATIONS) as database, open_book(database) as book:
        await book.put(full)
        await book.put(bare)
        await book.put(contact("c"))
        await book.remove(PeerId("c" * 52))
        await book.seen(bare.id, 1234.5)
    async with open_database(tmp_path / "db", MIGRATIONS) as database, open_book(database) as book:
        assert book.get(full.id) == full
        assert book.all("phone") == [attrs.evolve(bare, last_seen=1234.5), full]
        assert book.all("machine") == []
        assert book.get(PeerId("c" * 52)) is None


async def test_a_contact_put_again_replaces_the_former() -> None:
    async with open_book(InlineDatabase(MIGRATIONS)) as book:
        await book.put(contact("a", "old"))
        await book.put(contact("a", "new"))
        assert [each.name for each in book.all("phone")] == ["new"]


async def test_a_contact_is_found_by_name_and_by_a_unique_beginning() -> None:
    async with open_book(InlineDatabase(MIGRATIONS)) as book:
        for letter, name in (("a", "pixel"), ("b", "pixel"), ("c", "iphone"), ("d", "cccc")):
            await book.put(contact(letter, name))
        assert book.find("iphone", "phone").id[0] == "c"
        assert book.find("ccccc", "phone").id[0] == "c"
        with pytest.raises(BadRequest, match="several phones: cccccccc, dddddddd"):
            book.find("cccc", "phone")  # one's name, and the beginning of another's id
        assert book.find("a", "phone").id[0] == "a"
        with pytest.raises(BadRequest, match="several phones: aaaaaaaa, bbbbbbbb"):
            book.find("pixel", "phone")
        with pytest.raises(NotFound, match="there is no phone 'nokia'"):
            book.find("nokia", "phone")
        with pytest.raises(NotFound):
            book.find("iphone", "machine")


async def test_a_contact_of_any_kind_is_found_and_names_of_all_kinds_are_alike() -> None:
    async with open_book(InlineDatabase(MIGRATIONS)) as book:
        await book.put(contact("a", "pixel"))
        await book.put(contact("b", "kai", kind="machine"))
        await book.put(contact("c", "kai"))
        assert book.find("pixel", None).id[0] == "a"
        assert book.find("bbbb", None).id[0] == "b"
        with pytest.raises(BadRequest, match="several contacts: cccccccc, bbbbbbbb"):
            book.find("kai", None)
        with pytest.raises(NotFound, match=r"`loopsy phone list` and `loopsy peers` show them"):
            book.find("nokia", None)


def test_a_phone_that_calls_itself_by_the_id_of_another_does_not_take_its_place() -> None:
    honest = contact("b")
    impostor = contact("a", honest.id)
    book = Book(None, [impostor, honest])  # type: ignore[arg-type]

    assert book.find(honest.id, "phone") is honest


def test_a_contact_expires_at_its_time_and_not_before() -> None:
    assert not contact("a").expired(1e12)
    assert not contact("a", expires_at=50.0).expired(49.9)
    assert contact("a", expires_at=50.0).expired(50.0)


async def test_seeing_a_stranger_notes_nothing() -> None:
    async with open_book(InlineDatabase(MIGRATIONS)) as book:
        await book.seen(PeerId("a" * 52), 1.0)
        assert book.get(PeerId("a" * 52)) is None


async def test_a_full_book_takes_no_more_but_changes_what_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(book_module, "MAX_CONTACTS", 2)
    async with open_book(InlineDatabase(MIGRATIONS)) as book:
        await book.put(contact("a"))
        await book.put(contact("b"))
        with pytest.raises(Busy, match="revoke some first"):
            await book.put(contact("c"))
        await book.put(contact("b", "renamed"))
        await book.remove(PeerId("a" * 52))
        await book.put(contact("c"))


class SlowDatabase(InlineDatabase):
    """A disk that takes its time: each transaction waits until it is told to go on, in turn."""

    def __init__(self) -> None:
        super().__init__(MIGRATIONS)
        self.fast = True
        self._turn = trio.Lock()
        self._go_on = trio.Event()

    def go_on(self) -> None:
        self._go_on.set()

    async def transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        async with self._turn:
            if not self.fast:
                await self._go_on.wait()
            return await super().transact(work)


async def test_a_removed_contact_is_unknown_before_the_disk_has_done_its_part() -> None:
    database = SlowDatabase()
    async with open_book(database) as book, trio.open_nursery() as nursery:
        await book.put(contact("a"))
        database.fast = False
        nursery.start_soon(book.remove, PeerId("a" * 52))
        await trio.testing.wait_all_tasks_blocked()
        assert book.get(PeerId("a" * 52)) is None
        await book_is_not_resurrected(book)
        database.go_on()


async def book_is_not_resurrected(book: Book) -> None:
    await book.seen(PeerId("a" * 52), 5.0)
    assert book.get(PeerId("a" * 52)) is None


async def test_a_contact_that_is_not_on_disk_yet_is_unknown() -> None:
    database = SlowDatabase()
    async with open_book(database) as book, trio.open_nursery() as nursery:
        database.fast = False
        nursery.start_soon(book.put, contact("a"))
        await trio.testing.wait_all_tasks_blocked()
        assert book.get(PeerId("a" * 52)) is None
        database.go_on()


async def test_memory_and_disk_agree_when_a_contact_is_renewed_and_removed_at_once() -> None:
    database = SlowDatabase()
    async with open_book(database) as book:
        await book.put(contact("a"))
        database.fast = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(book.put, contact("a", "renewed"))
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(book.remove, PeerId("a" * 52))
            await trio.testing.wait_all_tasks_blocked()
            database.go_on()
        in_memory = book.all("phone")
    async with open_book(database) as book:
        assert book.all("phone") == in_memory == []


def allowed(known: Contact) -> Contact:
    return attrs.evolve(known, auto_approve=True)


async def test_a_change_is_made_of_what_is_known_by_now() -> None:
    first = contact("a")
    database = SlowDatabase()
    async with open_book(database) as book:
        await book.put(first)
        await book.seen(first.id, 5.0)
        database.fast = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(book.change, first, allowed)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(book.seen, first.id, 7.0)
            await trio.testing.wait_all_tasks_blocked()
            database.go_on()
        in_memory = book.get(first.id)
        assert in_memory == attrs.evolve(first, last_seen=7.0, auto_approve=True)
    async with open_book(database) as book:
        assert book.get(first.id) == in_memory


async def test_what_was_decided_about_a_former_pairing_changes_nothing() -> None:
    former, anew = contact("a"), contact("a")
    async with open_book(InlineDatabase(MIGRATIONS)) as book:
        await book.put(former)
        await book.put(anew)
        assert former == anew
        assert await book.change(former, allowed) is None
        assert book.get(former.id) == anew
        await book.remove(former.id)
        assert await book.change(anew, allowed) is None
        assert book.all("phone") == []


@pytest.mark.parametrize("meanwhile", ["pairs anew", "is revoked", "is seen and pairs anew"])
@pytest.mark.parametrize("first", [True, False])
async def test_memory_and_disk_agree_when_a_changed_contact_goes_or_pairs_anew(
    meanwhile: str, first: bool
) -> None:
    former = contact("a", auto_approve=False)
    viewer = contact("a", grants=frozenset({"view"}))
    database = SlowDatabase()
    async with open_book(database) as book:
        await book.put(former)
        database.fast = False
        async with trio.open_nursery() as nursery:
            if first:
                nursery.start_soon(book.change, former, allowed)
                await trio.testing.wait_all_tasks_blocked()
            if meanwhile == "is revoked":
                nursery.start_soon(book.remove, former.id)
            else:
                nursery.start_soon(book.put, viewer)
            await trio.testing.wait_all_tasks_blocked()
            if meanwhile == "is seen and pairs anew":
                nursery.start_soon(book.seen, former.id, 9.0)
            if not first:
                nursery.start_soon(book.change, former, allowed)
            await trio.testing.wait_all_tasks_blocked()
            database.go_on()
        expected = [] if meanwhile == "is revoked" else [viewer]
        assert book.all("phone") == expected
    async with open_book(database) as book:
        assert book.all("phone") == expected
