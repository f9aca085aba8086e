"""Who the others are: contacts, pairing, presence."""

from __future__ import annotations

from .book import MIGRATIONS, Book, Contact, open_book
from .invitation import Invitation, Invitations
from .pairing import Offer, Offers
from .presence import Presence, Visit
from .ways import Way, WayKind, Ways

__all__ = [
    "MIGRATIONS",
    "Book",
    "Contact",
    "Invitation",
    "Invitations",
    "Offer",
    "Offers",
    "Presence",
    "Visit",
    "Way",
    "WayKind",
    "Ways",
    "open_book",
]
