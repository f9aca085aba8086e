"""The contacts: which phones and machines are known, and what each may do here.

Kept in SQLite and, whole, in memory: it is asked at every connection and changes seldom.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import attrs
import msgspec
import trio

from loopsy_core.errors import BadRequest, Busy, NotFound
from loopsy_core.home import PeerId
from loopsy_core.kit import Watched

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncGenerator, Callable

    from loopsy_core.kit import Database

__all__ = ["MIGRATIONS", "Book", "Contact", "open_book"]

MAX_CONTACTS: Final = 1000
MAX_ADDRESSES: Final = 4
"""Places that are remembered of each machine."""

MIGRATIONS: Final = (
    """
    CREATE TABLE contacts (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        kind TEXT NOT NULL,
        grants TEXT NOT NULL,
        created_at REAL NOT NULL,
        last_seen REAL,
        expires_at REAL,
        relay_client TEXT
    ) STRICT;
    """,
    "ALTER TABLE contacts ADD COLUMN auto_approve INTEGER NOT NULL DEFAULT 0;",
    """
    ALTER TABLE contacts ADD COLUMN addresses TEXT NOT NULL DEFAULT '';
    ALTER TABLE contacts ADD COLUMN relay_url TEXT;
    ALTER TABLE contacts ADD COLUMN relay_bearer TEXT;
    ALTER TABLE contacts ADD COLUMN version TEXT;
    """,
)
"""The tables of a node's database."""

Kind: TypeAlias = Literal["phone", "machine"]

_SHOWN_BY: Final[dict[Kind | None, str]] = {
    "phone": "`loopsy phone list` shows them",
    "machine": "`loopsy peers` shows them",
    None: "`loopsy phone list` and `loopsy peers` show them",
}


@attrs.frozen
class Contact:
    """Somebody we know; times are seconds since 1970 (UTC)."""

    id: PeerId
    name: str
    kind: Kind
    grants: frozenset[str]
    created_at: float
    last_seen: float | None = None
    expires_at: float | None = None
    relay_client: str | None = None
    """What the relay calls this phone; we need it only to have its account there deleted."""
    auto_approve: bool = False
    """Whether this machine's user lets agents that it starts approve by themselves."""
    addresses: tuple[str, ...] = ()
    """Where a machine was found before (`host:port`), the latest first."""
    relay_url: str | None = None
    """The relay by which a machine can be reached, where we have an account for that."""
    relay_bearer: str | None = attrs.field(default=None, repr=False)
    """What we show to that relay."""
    version: str | None = None
    """What a machine ran when we heard of it last."""
    pairing: object = attrs.field(factory=object, eq=False, repr=False)
    """Which pairing this is: the same for as long as the contact has not paired anew."""

    def expired(self, now: float) -> bool:
        """Whether the contact counts no more."""
        return self.expires_at is not None and now >= self.expires_at


class Book:
    """All contacts; `open_book` makes it."""

    def __init__(self, database: Database, contacts: list[Contact]) -> None:
        """Begin with what the database holds."""
        self._database = database
        self._contacts = {contact.id: contact for contact in contacts}
        # One change at a time, or the later of two could be made of what the first has replaced.
        self._changing = trio.Lock()
        self.version = Watched(0)
        """Changes whenever a contact comes, goes, or may do something else."""

    def __contains__(self, contact_id: object) -> bool:
        """Whether a contact with this key is known."""
        return contact_id in self._contacts

    def get(self, contact_id: PeerId) -> Contact | None:
        """Return the contact with this key, if it is known."""
        return self._contacts.get(contact_id)

    def all(self, kind: Kind) -> list[Contact]:
        """Return all contacts of a kind, the oldest first."""
        return sorted(
            (contact for contact in self._contacts.values() if contact.kind == kind),
            key=lambda contact: contact.created_at,
        )

    def find(self, reference: str, kind: Kind | None) -> Contact:
        """Return the contact with this id or name, or with an id that begins so.

        Without `kind`, of any. Raises `NotFound`, or `BadRequest` when several could be meant.
        """
        contacts = self.all("phone") + self.all("machine") if kind is None else self.all(kind)
        what = kind or "contact"
        for contact in contacts:
            if contact.id == reference:  # first: a phone may call itself by another's id
                return contact
        # Names are what strangers call themselves: none goes before the beginning of another's id.
        found = [
            contact
            for contact in contacts
            if contact.name == reference or contact.id.startswith(reference)
        ]
        if not found:
            raise NotFound(f"there is no {what} {reference!r}; {_SHOWN_BY[kind]}")
        if len(found) > 1:
            ids = ", ".join(contact.id[:8] for contact in found[:5])
            raise BadRequest(f"{reference!r} may mean several {what}s: {ids}")
        return found[0]

    async def put(self, contact: Contact) -> None:
        """Add or replace a contact; on disk when this returns."""
        if contact.id not in self._contacts and len(self._contacts) >= MAX_CONTACTS:
            raise Busy(f"{MAX_CONTACTS} contacts are known already; revoke some first")
        async with self._changing:
            await self._write(contact)
            self._contacts[contact.id] = contact
            self._changed()

    async def change(self, former: Contact, change: Callable[[Contact], Contact]) -> Contact | None:
        """Change a contact, and return it; on disk when this returns.

        `change` is given the contact as it is by now. Returns None, and changes nothing, when
        `former` has been revoked or has paired anew: whatever was decided about that pairing is
        not decided about another.
        """
        async with self._changing:
            current = self._of_pairing(former)
            if current is None:
                return None
            await self._write(change(current))
            current = self._of_pairing(former)
            if current is None:  # revoked meanwhile; that deletes the row next
                return None
            changed = self._contacts[current.id] = change(current)
            self._changed()
            return changed

    def free_name(
        self, wanted: str, contact_id: PeerId, reserved: frozenset[str] = frozenset()
    ) -> str:
        """Return `wanted`, with a number behind it where another contact is called so.

        Nor is it one of `reserved`.
        """
        taken = {contact.name for contact in self._contacts.values() if contact.id != contact_id}
        taken |= reserved
        name, number = wanted, 1
        while name in taken:
            number += 1
            name = f"{wanted}-{number}"
        return name

    async def note_way(
        self,
        contact_id: PeerId,
        *,
        address: str | None = None,
        version: str | None = None,
        relay: tuple[str, str] | None = None,
        relay_client: str | None = None,
    ) -> None:
        """Note how a machine was reached, if it is still known; what is None stays as it was.

        `relay` is the address of its relay and our bearer there.
        """
        contact = self._contacts.get(contact_id)
        if contact is None:
            return
        changed = contact
        if address is not None:
            others = [known for known in contact.addresses if known != address]
            changed = attrs.evolve(changed, addresses=(address, *others)[:MAX_ADDRESSES])
        if version is not None:
            changed = attrs.evolve(changed, version=version)
        if relay is not None:
            changed = attrs.evolve(changed, relay_url=relay[0], relay_bearer=relay[1])
        if relay_client is not None:
            changed = attrs.evolve(changed, relay_client=relay_client)
        if changed == contact:
            return
        self._contacts[contact_id] = changed
        values = (
            " ".join(changed.addresses),
            changed.relay_url,
            changed.relay_bearer,
            changed.version,
            changed.relay_client,
            contact_id,
        )

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE contacts SET addresses = ?, relay_url = ?, relay_bearer = ?, version = ?,"
                " relay_client = ? WHERE id = ?",
                values,
            )

        await self._update(contact, write)

    async def remove(self, contact_id: PeerId) -> None:
        """Forget a contact: in memory at once, so that nobody gets in while the disk works."""
        if self._contacts.pop(contact_id, None) is None:
            return
        self._changed()

        def delete(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM contacts WHERE id = ?", (contact_id,))

        async with self._changing:
            await self._database.transact(delete)
            self._contacts.pop(contact_id, None)  # a `put` may have been under way before us

    async def seen(self, contact_id: PeerId, now: float) -> None:
        """Note that a contact has been here, if it is still known."""
        contact = self._contacts.get(contact_id)
        if contact is None:
            return
        self._contacts[contact_id] = attrs.evolve(contact, last_seen=now)

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE contacts SET last_seen = ? WHERE id = ?", (now, contact_id))

        await self._update(contact, write)

    def _changed(self) -> None:
        self.version.set(self.version.value + 1)

    def _of_pairing(self, former: Contact) -> Contact | None:
        """Return the contact as it is now, if it has not paired anew since."""
        current = self._contacts.get(former.id)
        return current if current is not None and current.pairing is former.pairing else None

    async def _write(self, contact: Contact) -> None:
        row = _row(contact)

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                f"INSERT OR REPLACE INTO contacts VALUES ({', '.join('?' * len(row))})", row
            )

        await self._database.transact(write)

    async def _update(self, former: Contact, write: Callable[[sqlite3.Connection], None]) -> None:
        """Bring to the disk what was noted in memory, unless it is of a former pairing by now."""
        async with self._changing:
            if self._of_pairing(former) is not None:
                await self._database.transact(write)


@asynccontextmanager
async def open_book(database: Database) -> AsyncGenerator[Book]:
    """Open the contacts in `database`, whose tables `MIGRATIONS` made."""

    def read(connection: sqlite3.Connection) -> list[Contact]:
        rows = connection.execute("SELECT * FROM contacts").fetchall()
        return [_contact(*row) for row in rows]

    yield Book(database, await database.transact(read))


def _row(contact: Contact) -> tuple[str | float | None, ...]:
    return (
        contact.id,
        contact.name,
        contact.kind,
        " ".join(sorted(contact.grants)),
        contact.created_at,
        contact.last_seen,
        contact.expires_at,
        contact.relay_client,
        contact.auto_approve,
        " ".join(contact.addresses),
        contact.relay_url,
        contact.relay_bearer,
        contact.version,
    )


def _contact(
    contact_id: str,
    name: str,
    kind: str,
    grants: str,
    created_at: float,
    last_seen: float | None,
    expires_at: float | None,
    relay_client: str | None,
    auto_approve: int,
    addresses: str,
    relay_url: str | None,
    relay_bearer: str | None,
    version: str | None,
) -> Contact:
    return Contact(
        PeerId(contact_id),
        name,
        msgspec.convert(kind, Kind),
        frozenset(grants.split()),
        created_at,
        last_seen,
        expires_at,
        relay_client,
        bool(auto_approve),
        tuple(addresses.split()),
        relay_url,
        relay_bearer,
        version,
    )
