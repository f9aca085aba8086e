"""The contacts: kept over reopening, found by name or id, seen, removed, and limited in number."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import attrs
import pytest

from loopsy_core.errors import BadRequest, Busy, NotFound
from loopsy_core.home import PeerId, peer_id
from loopsy_core.kit import open_database
from loopsy_core.peers import MIGRATIONS, Book, Contact, open_book
from loopsy_core.peers import book as book_file

if TYPE_CHECKING:
    from pathlib import Path


def contact(name: str = "pixel", created_at: float = 1000.0) -> Contact:
    """Make a phone with a key of its own."""
    key = peer_id(secrets.token_bytes(32))
    return Contact(key, name, "phone", frozenset({"view", "type"}), created_at)


async def reopened(path: Path) -> Book:
    async with open_database(path, MIGRATIONS) as database, open_book(database) as book:
        return book


async def test_contacts_are_there_after_reopening_with_all_that_is_known(tmp_path: Path) -> None:
    full = attrs.evolve(contact(), last_seen=1.5, expires_at=2.5e9, relay_client="p-1")
    bare = attrs.evolve(contact("машина"), kind="machine", grants=frozenset())
    async with (
        open_database(tmp_path / "node.db", MIGRATIONS) as database,
        open_book(database) as book,
    ):
        await book.put(full)
        await book.put(bare)

    again = await reopened(tmp_path / "node.db")

    assert again.get(full.id) == full
    assert again.get(bare.id) == bare
    assert again.all("phone") == [full]
    assert again.all("machine") == [bare]


async def test_a_removed_contact_is_gone_at_once_and_for_good(tmp_path: Path) -> None:
    kept, removed = contact("kept"), contact("removed")
    async with (
        open_database(tmp_path / "node.db", MIGRATIONS) as database,
        open_book(database) as book,
    ):
        await book.put(kept)
        await book.put(removed)
        await book.remove(removed.id)
        await book.remove(removed.id)
        await book.remove(PeerId("never known"))
        assert book.get(removed.id) is None
        assert book.all("phone") == [kept]

    assert (await reopened(tmp_path / "node.db")).all("phone") == [kept]


async def test_being_seen_is_noted_on_disk_and_makes_no_contact(tmp_path: Path) -> None:
    known = contact()
    async with (
        open_database(tmp_path / "node.db", MIGRATIONS) as database,
        open_book(database) as book,
    ):
        await book.put(known)
        await book.seen(known.id, 77.25)
        await book.seen(PeerId("a stranger"), 78.0)
        assert book.get(known.id) == attrs.evolve(known, last_seen=77.25)

    assert (await reopened(tmp_path / "node.db")).all("phone") == [
        attrs.evolve(known, last_seen=77.25)
    ]


async def test_putting_a_known_contact_replaces_it(tmp_path: Path) -> None:
    known = contact("old name")
    renamed = attrs.evolve(known, name="new name", grants=frozenset({"view"}))
    async with (
        open_database(tmp_path / "node.db", MIGRATIONS) as database,
        open_book(database) as book,
    ):
        await book.put(known)
        await book.put(renamed)

    assert (await reopened(tmp_path / "node.db")).all("phone") == [renamed]


async def test_phones_are_listed_oldest_first(tmp_path: Path) -> None:
    made = [contact(str(when), created_at=when) for when in (3.0, 1.0, 2.0)]
    async with (
        open_database(tmp_path / "node.db", MIGRATIONS) as database,
        open_book(database) as book,
    ):
        for each in made:
            await book.put(each)
        assert [each.created_at for each in book.all("phone")] == [1.0, 2.0, 3.0]


def of(*contacts: Contact) -> Book:
    """Return a book that is only read."""
    return Book(None, list(contacts))  # type: ignore[arg-type]


def test_a_contact_is_found_by_name_by_id_and_by_the_beginning_of_it() -> None:
    one, other = contact("one"), contact("other")
    book = of(one, other)

    assert book.find("one", "phone") is one
    assert book.find(other.id, "phone") is other
    assert book.find(other.id[:12], "phone") is other


def test_several_that_could_be_meant_are_named_and_none_is_taken() -> None:
    twins = [contact("pixel"), contact("pixel")]
    alike = [attrs.evolve(contact(end), id=PeerId("abc" + end * 49)) for end in "de"]
    book = of(*twins, *alike)

    with pytest.raises(BadRequest, match="several phones") as by_name:
        book.find("pixel", "phone")
    assert all(twin.id[:8] in str(by_name.value) for twin in twins)
    with pytest.raises(BadRequest, match="several phones: abcddddd, abceeeee"):
        book.find("abc", "phone")


def test_whoever_is_not_there_or_of_another_kind_is_not_found() -> None:
    machine = attrs.evolve(contact("kai"), kind="machine")

    with pytest.raises(NotFound, match=r"'nobody'.*loopsy phone list"):
        of(contact()).find("nobody", "phone")
    with pytest.raises(NotFound):
        of(machine).find("kai", "phone")


def test_a_phone_that_calls_itself_by_the_id_of_another_does_not_take_its_place() -> None:
    honest = contact("honest")
    impostor = contact(honest.id)

    assert of(impostor, honest).find(honest.id, "phone") is honest


def test_a_contact_counts_until_its_end_and_not_at_it() -> None:
    expiring = attrs.evolve(contact(), expires_at=50.0)

    assert not expiring.expired(49.9)
    assert expiring.expired(50.0)
    assert not contact().expired(4e9)


async def test_a_full_book_takes_no_more_but_still_changes_and_forgets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book_file, "MAX_CONTACTS", 2)
    one, two, three = contact("one"), contact("two"), contact("three")
    async with (
        open_database(tmp_path / "node.db", MIGRATIONS) as database,
        open_book(database) as book,
    ):
        await book.put(one)
        await book.put(two)
        with pytest.raises(Busy, match="revoke some"):
            await book.put(three)
        await book.put(attrs.evolve(one, name="uno"))
        await book.remove(two.id)
        await book.put(three)
        assert {each.name for each in book.all("phone")} == {"uno", "three"}
