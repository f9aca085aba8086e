"""An invitation: one at a time, five tries in all, and an end."""

from __future__ import annotations

import pytest

from loopsy_core.errors import Busy
from loopsy_core.peers import Invitation, Invitations
from loopsy_core.wire import Called, call_with_code

NOW = 1000.0


def caller(code: str) -> Called:
    return Called.parse(call_with_code(code, bytes(range(32))).first_message)


def wrong(invitation: Invitation) -> Called:
    return caller(f"{(int(invitation.code) + 1) % 1_000_000:06}")


def make(invitations: Invitations) -> Invitation:
    return invitations.make(now=NOW, ttl=300, preset="machine", pairing_expires_at=None)


def test_who_knows_the_code_is_taken_and_nobody_beside_them() -> None:
    invitations = Invitations()
    invitation = make(invitations)
    assert invitations.take(caller(invitation.code), NOW) is invitation
    assert invitations.take(caller(invitation.code), NOW) is None
    invitations.close(invitation)
    assert invitations.take(caller(invitation.code), NOW) is None


def test_five_wrong_codes_burn_it_however_they_come() -> None:
    invitations = Invitations()
    invitation = make(invitations)
    for left in (4, 3, 2, 1):
        assert invitations.take(wrong(invitation), NOW) is None
        assert invitation.tries_left == left
        assert invitations.open
    assert invitations.take(wrong(invitation), NOW) is None
    assert not invitations.open
    assert invitations.take(caller(invitation.code), NOW) is None


def test_a_caller_who_is_not_trusted_in_the_end_costs_a_try_too() -> None:
    invitations = Invitations()
    invitation = make(invitations)
    for _ in range(4):
        assert invitations.take(caller(invitation.code), NOW) is invitation
        invitations.give_back(invitation)
        assert invitations.open
    assert invitations.take(caller(invitation.code), NOW) is invitation
    assert invitations.open  # the last one may still be trusted
    invitations.give_back(invitation)
    assert not invitations.open


def test_it_ends_in_time() -> None:
    invitations = Invitations()
    invitation = make(invitations)
    assert invitations.take(caller(invitation.code), NOW + 299.9) is invitation
    invitations.give_back(invitation)
    assert invitations.take(caller(invitation.code), NOW + 300) is None
    assert make(invitations).code  # and makes room for another


def test_there_is_one_at_a_time() -> None:
    invitations = Invitations()
    invitation = make(invitations)
    with pytest.raises(Busy, match="open already"):
        make(invitations)
    invitations.close(invitation)
    make(invitations)


def test_codes_and_keys_stay_out_of_sight() -> None:
    invitation = make(Invitations())
    assert invitation.code not in repr(invitation)
