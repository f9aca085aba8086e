"""Offers to pair: one phone each, three tries, a time; and no two alike."""

from __future__ import annotations

import pytest

from loopsy_core.errors import Busy
from loopsy_core.peers import Offer, Offers
from loopsy_core.peers.pairing import MAX_OFFERS
from loopsy_core.wire import offer_id, pairing_key


def make(offers: Offers, now: float = 0.0, ttl: float = 300.0) -> Offer:
    return offers.make(now=now, ttl=ttl, preset="phone", pairing_expires_at=None)


def test_an_offer_is_found_by_what_its_secret_tells() -> None:
    offers = Offers()
    offer = make(offers)
    assert len(offer.secret) == 16
    assert len(offer.code) == 4
    assert offer.code.isdecimal()
    assert offer.key == pairing_key(offer.secret, offer.code)
    assert offers.find(offer_id(offer.secret), 1.0) is offer
    assert offers.find(bytes(16), 1.0) is None


def test_an_offer_tells_no_secret_in_a_log() -> None:
    offer = make(Offers())
    for secret in (repr(offer.secret), f"'{offer.code}'", repr(offer.key)):
        assert secret not in repr(offer)


def test_offers_differ_and_their_codes_are_spread() -> None:
    made = [make(Offers()) for _ in range(300)]
    assert len({offer.secret for offer in made}) == 300
    assert len({offer.code for offer in made}) > 250
    assert any(offer.code.startswith("0") for offer in made)


def test_an_offer_lasts_as_long_as_was_said() -> None:
    offers = Offers()
    offer = make(offers, now=100.0, ttl=50.0)
    assert offers.find(offer.id, 149.9) is offer
    assert offers.find(offer.id, 150.0) is None
    assert offers.find(offer.id, 149.9) is None  # and it does not come back


def test_the_third_wrong_code_burns_an_offer() -> None:
    offers = Offers()
    offer, other = make(offers), make(offers)
    assert offers.wrong(offer) == 2
    assert offers.find(offer.id, 1.0) is offer
    assert offers.wrong(offer) == 1
    assert offers.wrong(offer) == 0
    assert offers.find(offer.id, 1.0) is None
    assert not offers.use(offer)
    assert offers.wrong(offer) == 0  # a fourth, which was under way
    assert offers.find(other.id, 1.0) is other


def test_an_offer_is_used_once() -> None:
    offers = Offers()
    offer = make(offers)
    assert offers.use(offer)
    assert not offers.use(offer)
    assert offers.find(offer.id, 1.0) is None


def test_an_offer_can_be_withdrawn() -> None:
    offers = Offers()
    offer = make(offers)
    offers.withdraw(offer)
    offers.withdraw(offer)
    assert offers.find(offer.id, 1.0) is None
    assert not offers.use(offer)


def test_many_offers_are_open_at_once_but_not_any_number() -> None:
    offers = Offers()
    made = [make(offers, ttl=100.0 + number) for number in range(MAX_OFFERS)]
    assert all(offers.find(offer.id, 1.0) is offer for offer in made)
    with pytest.raises(Busy, match="offers to pair are open already"):
        make(offers, now=99.0)
    assert make(offers, now=100.0)  # the first has expired
    assert offers.use(made[5])
    assert make(offers, now=100.0)
