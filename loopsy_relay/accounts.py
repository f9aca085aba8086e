"""Who may use this relay: machines that registered, their phones, and tokens to pair new ones.

Secrets are kept only as SHA-256. That is enough here, and a slow password hash would add nothing:
they are 256 random bits made by us, so there is no dictionary to try, and whoever steals the
database would have to search all 2^256 of them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import sqlite3
import struct
import unicodedata
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import attrs

from loopsy_core.errors import BadRequest, Busy, NotFound, Refused
from loopsy_core.kit import Database, open_database

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

__all__ = [
    "Accounts",
    "Credential",
    "PairToken",
    "Phone",
    "PhoneRecord",
    "Unauthorized",
    "clean_name",
    "open_accounts",
]

LONGEST_NAME: Final = 64  # characters

_ID_BYTES: Final = 12  # enough to never meet twice; ids are no secrets
_SECRET_BYTES: Final = 32
_NONCE_BYTES: Final = 12

# Half of HMAC-SHA256's output, as RFC 2104 (section 5) allows: the token becomes a QR code, where
# every character counts, and nobody gets more tries than the rate limit lets through.
_SIGNATURE_BYTES: Final = 16
_CLAIM: Final = struct.Struct(f">{_ID_BYTES}s{_NONCE_BYTES}sd")  # device, nonce, expires

_MIGRATIONS: Final = (
    """
    CREATE TABLE meta (
        key TEXT PRIMARY KEY,
        value BLOB NOT NULL
    ) STRICT;
    CREATE TABLE devices (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        secret BLOB NOT NULL,
        created REAL NOT NULL,
        last_seen REAL
    ) STRICT;
    CREATE TABLE phones (
        id TEXT PRIMARY KEY,
        device TEXT NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        bearer BLOB NOT NULL,
        created REAL NOT NULL,
        last_seen REAL
    ) STRICT;
    CREATE INDEX phones_of_device ON phones (device);
    CREATE TABLE used_nonces (
        nonce BLOB PRIMARY KEY,
        expires REAL NOT NULL
    ) STRICT;
    CREATE INDEX nonces_by_expiry ON used_nonces (expires);
    """,
)


class Unauthorized(Refused):
    """The secret or bearer is missing, unknown or revoked: who asks must say who they are."""

    status = 401


@attrs.frozen
class Credential:
    """A fresh secret, to be handed out once: `text` is `<id>.<secret>`."""

    id: str
    text: str = attrs.field(repr=False)


@attrs.frozen
class PairToken:
    """Lets one phone register with one machine until `expires` (seconds since 1970)."""

    text: str = attrs.field(repr=False)
    expires: float


@attrs.frozen
class Phone:
    """A phone that proved who it is, and the machine it belongs to."""

    id: str
    device: str


@attrs.frozen
class PhoneRecord:
    """What the relay knows of a phone. `last_seen` is None until it first connects."""

    id: str
    name: str
    created: float
    last_seen: float | None


@asynccontextmanager
async def open_accounts(path: Path, phones_per_device: int) -> AsyncGenerator[Accounts]:
    """Open the accounts in the file `path`, made if missing; raises as `open_database` does."""
    async with open_database(path, _MIGRATIONS) as database:
        key = await database.transact(_signing_key)
        yield Accounts(database, key, phones_per_device)


class Accounts:
    """The accounts of one relay. Every `now` is in seconds since 1970.

    Each method is one transaction: cancelled, or killed, it has happened or it has not.
    """

    def __init__(self, database: Database, key: bytes, phones_per_device: int) -> None:
        """Use `database` and the `key` that signs tokens; made by `open_accounts`."""
        self._database = database
        self._key = key
        self._phones_per_device = phones_per_device

    async def register(self, name: str, now: float) -> Credential:
        """Add a machine. Raises `BadRequest` for a name without a visible character."""
        name = clean_name(name)
        credential, digest = _new_credential()

        def work(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT INTO devices (id, name, secret, created) VALUES (?, ?, ?, ?)",
                (credential.id, name, digest, now),
            )

        await self._database.transact(work)
        return credential

    async def find_device(self, secret: str, now: float | None = None) -> str:
        """Return the id of the machine whose secret this is; with `now`, note it as seen.

        Raises `Unauthorized`.
        """

        def work(db: sqlite3.Connection) -> str:
            device = _who(db, "SELECT secret, id FROM devices WHERE id = ?", secret)
            if now is not None:
                db.execute("UPDATE devices SET last_seen = ? WHERE id = ?", (now, device))
            return device

        return await self._database.transact(work)

    async def find_phone(self, bearer: str, now: float | None = None) -> Phone:
        """Return the phone whose bearer this is; with `now`, note it as seen.

        Raises `Unauthorized`.
        """

        def work(db: sqlite3.Connection) -> Phone:
            device = _who(db, "SELECT bearer, device FROM phones WHERE id = ?", bearer)
            phone = bearer.partition(".")[0]
            if now is not None:
                db.execute("UPDATE phones SET last_seen = ? WHERE id = ?", (now, phone))
            return Phone(phone, device)

        return await self._database.transact(work)

    async def forget_device(self, device: str) -> None:
        """Remove a machine and its phones. Raises `NotFound`."""

        def work(db: sqlite3.Connection) -> None:
            if not db.execute("DELETE FROM devices WHERE id = ?", (device,)).rowcount:
                raise NotFound("there is no such machine at this relay")

        await self._database.transact(work)

    async def list_phones(self, device: str) -> list[PhoneRecord]:
        """Return the phones of a machine, oldest first."""

        def work(db: sqlite3.Connection) -> list[PhoneRecord]:
            rows = db.execute(
                "SELECT id, name, created, last_seen FROM phones WHERE device = ?"
                " ORDER BY created, id",
                (device,),
            )
            return [PhoneRecord(*row) for row in rows]

        return await self._database.transact(work)

    async def revoke_phone(self, device: str, phone: str) -> None:
        """Remove a phone of `device`. Raises `NotFound`, also when it is somebody else's."""

        def work(db: sqlite3.Connection) -> None:
            deleted = db.execute("DELETE FROM phones WHERE id = ? AND device = ?", (phone, device))
            if not deleted.rowcount:
                raise NotFound("this machine has no such phone at this relay")

        await self._database.transact(work)

    def issue(self, device: str, ttl: float, now: float) -> PairToken:
        """Make a token with which one phone can register with `device` within `ttl` seconds."""
        expires = now + ttl
        claim = _CLAIM.pack(bytes.fromhex(device), secrets.token_bytes(_NONCE_BYTES), expires)
        return PairToken(_base64(claim + self._sign(claim)), expires)

    async def redeem(self, token: str, name: str, now: float) -> tuple[Phone, Credential]:
        """Spend `token` on a new phone, and return it with its bearer.

        Raises `Refused` when the token is forged, expired, spent, or its machine is gone, each
        with a sentence of its own, `Busy` when the machine has too many phones (the token stays
        good), and `BadRequest` for a name without a visible character.
        """
        name = clean_name(name)
        device, nonce, expires = self._open(token)
        if expires <= now:
            raise Refused("this pair link has expired; make a new one on the machine")
        bearer, digest = _new_credential()

        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM used_nonces WHERE expires <= ?", (now,))
            if not db.execute("SELECT 1 FROM devices WHERE id = ?", (device,)).fetchone():
                raise Refused("the machine of this pair link is not registered here any more")
            try:
                db.execute("INSERT INTO used_nonces VALUES (?, ?)", (nonce, expires))
            except sqlite3.IntegrityError:
                raise Refused(
                    "this pair link was used already; make a new one on the machine"
                ) from None
            (phones,) = db.execute(
                "SELECT count(*) FROM phones WHERE device = ?", (device,)
            ).fetchone()
            if phones >= self._phones_per_device:
                raise Busy(f"this machine has {phones} phones already; revoke one first")
            db.execute(
                "INSERT INTO phones (id, device, name, bearer, created) VALUES (?, ?, ?, ?, ?)",
                (bearer.id, device, name, digest, now),
            )

        await self._database.transact(work)
        return Phone(bearer.id, device), bearer

    def _sign(self, claim: bytes) -> bytes:
        return hmac.digest(self._key, claim, "sha256")[:_SIGNATURE_BYTES]

    def _open(self, token: str) -> tuple[str, bytes, float]:
        """Return device, nonce and expiry of a token that is ours; raises `Refused`."""
        raw = _from_base64(token)
        claim, signature = raw[: _CLAIM.size], raw[_CLAIM.size :]
        if len(claim) != _CLAIM.size or not hmac.compare_digest(signature, self._sign(claim)):
            raise Refused("this pair link was not made by this relay; check that it is complete")
        device, nonce, expires = _CLAIM.unpack(claim)
        return device.hex(), nonce, expires


def clean_name(name: str) -> str:
    """Return `name` without what could disturb a line of text, at most 64 characters of it.

    Raises `BadRequest` when nothing to see is left.
    """
    # Cc controls, Cs lone surrogates (SQLite cannot store them), Cf what turns the direction of
    # text or hides in it, Zl and Zp line breaks. U+200D joins the parts of one emoji.
    visible = "".join(
        character
        for character in " ".join(name.split())  # a tab or line break becomes a space
        if character == "\u200d"
        or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}
    )
    cleaned = " ".join(visible.split())[:LONGEST_NAME].strip()
    if not cleaned.strip("\u200d"):
        raise BadRequest("name: needs at least one visible character")
    return cleaned


def _who(db: sqlite3.Connection, query: str, text: str) -> str:
    """Return the second column of the row of `<id>.<secret>`, whose first is the secret's hash."""
    identifier, _, secret = text.partition(".")
    digest = hashlib.sha256(secret.encode(errors="replace")).digest()
    # Looked up by the id, which is no secret: comparing secrets inside of SQLite would let the
    # time it takes tell something about them.
    row: tuple[bytes, str] | None = (
        db.execute(query, (identifier,)).fetchone() if identifier.isascii() else None
    )
    # Compared even when there is no row, so that unknown and wrong take equally long.
    known, who = row or (bytes(len(digest)), "")
    if not hmac.compare_digest(digest, known) or not who:
        raise Unauthorized("this relay does not know that secret; it may have been revoked")
    return who


def _new_credential() -> tuple[Credential, bytes]:
    # Hexadecimal, because ids are typed after commands, where a leading "-" would be an option.
    identifier = secrets.token_hex(_ID_BYTES)
    secret = _base64(secrets.token_bytes(_SECRET_BYTES))
    digest = hashlib.sha256(secret.encode()).digest()
    return Credential(identifier, f"{identifier}.{secret}"), digest


def _signing_key(db: sqlite3.Connection) -> bytes:
    """Return the key that signs tokens, made when the relay first starts."""
    db.execute(
        "INSERT INTO meta VALUES ('signing_key', ?) ON CONFLICT DO NOTHING",
        (secrets.token_bytes(32),),
    )
    row: tuple[bytes] = db.execute("SELECT value FROM meta WHERE key = 'signing_key'").fetchone()
    return row[0]


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _from_base64(text: str) -> bytes:
    """Return the bytes of unpadded base64url; b"" for anything else, which then is no token."""
    try:
        data = base64.b64decode(
            text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True
        )
    except (binascii.Error, ValueError):
        return b""
    # Several texts decode to the same bytes; only one of them is what we wrote.
    return data if _base64(data) == text else b""
