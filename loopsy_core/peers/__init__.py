"""Who the others are: contacts, pairing, presence."""

from __future__ import annotations

from .book import MIGRATIONS, Book, Contact, open_book
from .pairing import Offer, Offers
from .presence import Presence, Visit

__all__ = ["MIGRATIONS", "Book", "Contact", "Offer", "Offers", "Presence", "Visit", "open_book"]
