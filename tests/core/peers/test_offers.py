"""Offers to pair: their tries, their time, and that each is used once."""

from __future__ import annotations

import pytest

from loopsy_core.errors import Busy
from loopsy_core.peers import Offer, Offers
from loopsy_core.peers.pairing import MAX_OFFERS
from loopsy_core.wire import offer_id, pairing_key


def make(offers: Offers, now: float = 0.0, ttl: float = 300.0) -> Offer:
    return offers.make(now=now, ttl=ttl, preset="phone", pairing_expires_at=None)


def test_an_offer_is_found_by_the_id_that_its_secret_gives() -> None:
    offers = Offers()
    offer = make(offers)

    assert offers.find(offer_id(offer.secret), 1.0) is offer
    assert offer.key == pairing_key(offer.secret, offer.code)
    assert offers.find(bytes(16), 1.0) is None


def test_codes_have_four_digits_also_when_they_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter((0, 7, 9999))

    def randbelow(most: int) -> int:
        assert most == 10_000
        return next(drawn)

    monkeypatch.setattr("loopsy_core.peers.pairing.secrets.randbelow", randbelow)
    offers = Offers()

    assert [make(offers).code for _ in range(3)] == ["0000", "0007", "9999"]


def test_the_third_wrong_code_burns_the_offer() -> None:
    offers = Offers()
    offer, other = make(offers), make(offers)

    assert [offers.wrong(offer), offers.wrong(offer)] == [2, 1]
    assert offers.find(offer.id, 1.0) is offer
    assert offers.wrong(offer) == 0
    assert offers.find(offer.id, 1.0) is None
    assert not offers.use(offer), "who had found it before may not use it either"
    assert offers.wrong(offer) == 0
    assert offers.find(other.id, 1.0) is other
    assert other.tries_left == 3


def test_an_offer_ends_with_its_time() -> None:
    offers = Offers()
    offer = make(offers, now=100.0, ttl=10.0)

    assert offers.find(offer.id, 109.9) is offer
    assert offers.find(offer.id, 110.0) is None
    assert offers.find(offer.id, 0.0) is None, "it does not come back"


def test_an_offer_is_used_once() -> None:
    offers = Offers()
    offer = make(offers)

    assert offers.use(offer)
    assert not offers.use(offer)
    assert offers.find(offer.id, 1.0) is None


def test_an_offer_that_was_taken_back_is_gone() -> None:
    offers = Offers()
    offer = make(offers)

    offers.withdraw(offer)
    offers.withdraw(offer)

    assert offers.find(offer.id, 1.0) is None
    assert not offers.use(offer)


def test_many_offers_stand_side_by_side_but_not_too_many() -> None:
    offers = Offers()
    made = [make(offers) for _ in range(MAX_OFFERS)]

    assert len({offer.id for offer in made}) == MAX_OFFERS
    assert len({offer.secret for offer in made}) == MAX_OFFERS
    with pytest.raises(Busy, match="open already"):
        make(offers)
    assert all(offers.find(offer.id, 1.0) is offer for offer in made)
    assert make(offers, now=300.0), "expired ones take no room"


def test_used_and_burnt_offers_take_no_room() -> None:
    offers = Offers()
    for _ in range(MAX_OFFERS):
        assert offers.use(make(offers))
        burnt = make(offers)
        while offers.wrong(burnt):
            pass

    assert make(offers)


def test_nothing_that_is_secret_shows_when_an_offer_is_printed() -> None:
    offer = make(Offers())
    shown = repr(offer)

    assert offer.code not in shown.replace(repr(offer.id), "")
    for secret in (offer.secret, offer.key):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown
