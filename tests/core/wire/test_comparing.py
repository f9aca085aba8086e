"""Pairing two machines: the code, the commitment, and the number that tells a man in the middle."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.errors import BadRequest, ProtocolViolation
from loopsy_core.wire import Called, Introduction, Unreadable, call_with_code, encode, read_verdict
from loopsy_core.wire.comparing import Verdict
from tests.core.wire.keys import key, public

if TYPE_CHECKING:
    from loopsy_core.wire.comparing import Answering, Calling, Committed, Compared, Introduced, Met

CODE = "042424"


class CallingSide:
    """Who typed the code."""

    def __init__(self, private: bytes, name: str) -> None:
        self.private = private
        self.introduction = Introduction(name, "1.0")
        self.calling: Calling
        self.met: Met
        self.compared: Compared


class CalledSide:
    """Who showed the code."""

    def __init__(self, private: bytes, name: str) -> None:
        self.private = private
        self.introduction = Introduction(name, "1.0")
        self.answering: Answering
        self.introduced: Introduced
        self.committed: Committed
        self.compared: Compared


def shake_hands(caller: CallingSide, called: CalledSide, code: str = CODE) -> None:
    """Bring two sides to the end of their handshake."""
    caller.calling = call_with_code(code, caller.private)
    called.answering = Called.parse(caller.calling.first_message).answer(
        called.private, called.introduction
    )
    caller.met = caller.calling.hear(called.answering.second_message, caller.introduction)
    called.introduced = called.answering.hear(caller.met.third_message)


def compare(caller: CallingSide, called: CalledSide) -> None:
    """Bring two sides to their numbers."""
    called.committed = called.introduced.hear(caller.met.commitment)
    caller.compared = caller.met.hear(called.committed.nonce)
    assert caller.compared.reveal is not None
    called.compared = called.committed.hear(caller.compared.reveal)


def test_both_sides_show_the_same_number_and_know_each_other() -> None:
    caller, called = CallingSide(key("bob"), "mac"), CalledSide(key("alice"), "kai")
    shake_hands(caller, called)
    compare(caller, called)
    assert caller.compared.number == called.compared.number
    assert len(caller.compared.number) == 6
    assert caller.compared.number.isdigit()
    assert caller.compared.established.remote == public("alice")
    assert called.compared.established.remote == public("bob")
    assert caller.compared.established.introduction.name == "kai"
    assert called.compared.established.introduction.name == "mac"
    for near, far in ((caller, called), (called, caller)):
        [sealed] = near.compared.established.connection.seal(b"hello")
        assert far.compared.established.connection.open(sealed) == b"hello"


@pytest.mark.parametrize("code", ["", "12345", "1234567", "12345x", "\u0661" * 6, "123 45"])
def test_what_is_no_code_is_never_called_with(code: str) -> None:
    with pytest.raises(BadRequest, match="6 digits"):
        call_with_code(code, key("bob"))


def test_only_the_code_is_known_by_its_proof() -> None:
    called = Called.parse(call_with_code(CODE, key("bob")).first_message)
    assert called.knows(CODE)
    assert not any(called.knows(f"{wrong:06}") for wrong in range(1000) if f"{wrong:06}" != CODE)


def test_a_proof_is_of_no_use_in_another_call() -> None:
    overheard = call_with_code(CODE, key("bob")).first_message
    own = call_with_code("000000", key("mallory")).first_message
    assert not Called.parse(overheard[:17] + own[17:]).knows(CODE)


@given(first=st.binary(max_size=80))
def test_any_first_message_is_taken_apart_or_refused(first: bytes) -> None:
    try:
        called = Called.parse(first)
    except ProtocolViolation:
        return
    assert not called.knows(CODE)


def test_a_man_in_the_middle_is_told_apart() -> None:
    """He knows the code, and relays two handshakes: the numbers differ, but for chance."""
    same = 0
    for _ in range(200):
        bob, to_bob = CallingSide(key("bob"), "mac"), CalledSide(key("mallory"), "kai")
        to_alice, alice = CallingSide(key("mallory"), "mac"), CalledSide(key("alice"), "kai")
        shake_hands(bob, to_bob)
        shake_hands(to_alice, alice)
        compare(bob, to_bob)
        compare(to_alice, alice)
        same += bob.compared.number == alice.compared.number
    assert same <= 1  # twice in 200 is one chance in fifty million


def test_a_man_in_the_middle_cannot_pass_commitment_or_nonce_on() -> None:
    """Those of the one handshake mean nothing in the other."""
    bob, to_bob = CallingSide(key("bob"), "mac"), CalledSide(key("mallory"), "kai")
    to_alice, alice = CallingSide(key("mallory"), "mac"), CalledSide(key("alice"), "kai")
    shake_hands(bob, to_bob)
    shake_hands(to_alice, alice)
    alices = alice.introduced.hear(bob.met.commitment)
    bobs = bob.met.hear(alices.nonce)
    assert bobs.reveal is not None
    with pytest.raises(ProtocolViolation, match="another nonce"):
        alices.hear(bobs.reveal)


def test_who_grinds_is_bound_before_there_is_anything_to_grind_for() -> None:
    """The caller cannot choose its nonce once it has seen the other: it has committed to one."""
    caller, called = CallingSide(key("mallory"), "mac"), CalledSide(key("alice"), "kai")
    shake_hands(caller, called)
    committed = called.introduced.hear(caller.met.commitment)
    caller.met.hear(committed.nonce)
    for attempt in range(100):
        with pytest.raises(ProtocolViolation, match="another nonce"):
            committed.hear(encode([3, attempt.to_bytes(32, "big")]))


def test_a_bound_guess_hits_by_the_count_of_the_digits_alone() -> None:
    """Every number is as likely as any other: the digits, each counted by itself, are even."""
    caller, called = CallingSide(key("bob"), "mac"), CalledSide(key("alice"), "kai")
    shake_hands(caller, called)
    tries = 4000
    counts = [Counter[str]() for _ in range(6)]
    for _ in range(tries):
        # The same handshake again and again, the called side with a nonce of its own each time.
        number = caller.met.hear(called.introduced.hear(caller.met.commitment).nonce).number
        for place, digit in enumerate(number):
            counts[place][digit] += 1
    for place in counts:
        assert set(place) == set("0123456789")
        chi_square = sum((count - tries / 10) ** 2 / (tries / 10) for count in place.values())
        assert chi_square < 40  # 9 degrees of freedom: one in a hundred thousand goes beyond


def test_steps_out_of_order_break_the_pairing() -> None:
    caller, called = CallingSide(key("bob"), "mac"), CalledSide(key("alice"), "kai")
    shake_hands(caller, called)
    committed = called.introduced.hear(caller.met.commitment)
    for message in (caller.met.commitment, committed.nonce, b"", b"\x93\x03", encode([4, True])):
        with pytest.raises(ProtocolViolation):
            committed.hear(message)
    with pytest.raises(ProtocolViolation):
        called.introduced.hear(committed.nonce)
    with pytest.raises(ProtocolViolation):
        caller.met.hear(encode([2, b"short"]))


def test_a_handshake_with_somebody_elses_messages_does_not_come_about() -> None:
    caller, called = CallingSide(key("bob"), "mac"), CalledSide(key("alice"), "kai")
    shake_hands(caller, called)
    other = call_with_code(CODE, key("mallory"))
    with pytest.raises(Unreadable):
        other.hear(called.answering.second_message, caller.introduction)


def test_a_verdict_is_read_as_it_was_given() -> None:
    assert read_verdict(encode(Verdict(same=True)))
    assert not read_verdict(encode(Verdict(same=False)))
    with pytest.raises(ProtocolViolation):
        read_verdict(encode([4, "yes"]))
