"""Greetings: who calls whom is proven, and whatever does not fit is refused in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.errors import BadRequest, Misconfigured, ProtocolViolation
from loopsy_core.wire import (
    Established,
    Greeting,
    Handshake,
    Heard,
    Introduction,
    Knock,
    Pattern,
    Unreadable,
    check_protocol,
    encode,
    greet,
    greet_with_offer,
    offer_id,
    pairing_key,
    write_introduction,
)
from tests.core.wire.keys import LOW_ORDER, flips, key, public
from tests.core.wire.values import values
from tests.play import bounded

if TYPE_CHECKING:
    from collections.abc import Callable

PHONE = Introduction("Phone", "0.1.0")
NODE = Introduction("kai", "0.1.0")
SECRET = bytes(range(16))
OFFER = offer_id(SECRET)
PSK = pairing_key(SECRET, "0427")

Refusal = (Unreadable, ProtocolViolation)


def call() -> Greeting:
    return greet(key("phone"), public("node"), PHONE)


def pair() -> Greeting:
    return greet_with_offer(key("phone"), public("node"), OFFER, PSK, PHONE)


def hear(first_message: bytes, node: str = "node", psk: bytes = PSK) -> Heard:
    """Be a node that reads a first message as its pattern wants it."""
    knock = Knock.parse(first_message)
    wanted = psk if knock.pattern is Pattern.IKpsk1 else None
    return knock.read(key(node), public(node), wanted)


either = pytest.mark.parametrize("begin", [call, pair])


def test_a_phone_that_calls_is_known_by_its_key() -> None:
    greeting = call()
    heard = hear(greeting.first_message)
    assert (heard.remote, heard.introduction) == (public("phone"), PHONE)
    assert Knock.parse(greeting.first_message).offer == b""


def test_a_phone_that_pairs_names_its_offer() -> None:
    greeting = pair()
    assert Knock.parse(greeting.first_message).offer == OFFER
    heard = hear(greeting.first_message)
    assert (heard.remote, heard.introduction) == (public("phone"), PHONE)


@either
def test_after_a_greeting_both_sides_talk(begin: Callable[[], Greeting]) -> None:
    greeting = begin()
    second, on_node = hear(greeting.first_message).accept(NODE)
    on_phone = greeting.finish(second)
    assert (on_phone.remote, on_phone.introduction) == (public("node"), NODE)
    assert (on_node.remote, on_node.introduction) == (public("phone"), PHONE)
    assert on_phone.hash == on_node.hash
    assert talk(on_phone, on_node)


def talk(one: Established, other: Established) -> bool:
    there = [other.connection.open(sealed) for sealed in one.connection.seal(b"there")]
    back = [one.connection.open(sealed) for sealed in other.connection.seal(b"back")]
    return (there, back) == ([b"there"], [b"back"])


@bounded(20)
@given(values(Introduction), values(Introduction))
def test_introductions_arrive_whatever_the_names(phone: Introduction, node: Introduction) -> None:
    greeting = greet(key("phone"), public("node"), phone)
    heard = hear(greeting.first_message)
    second, _ = heard.accept(node)
    assert heard.introduction == phone
    assert greeting.finish(second).introduction == node


# Refused.


@either
def test_no_first_message_with_a_flipped_bit_is_accepted(begin: Callable[[], Greeting]) -> None:
    # The first byte too: another pattern, or none.
    for changed in flips(begin().first_message):
        with pytest.raises(Refusal):
            hear(changed)


@either
def test_no_second_message_with_a_flipped_bit_is_accepted(begin: Callable[[], Greeting]) -> None:
    length = len(hear(begin().first_message).accept(NODE)[0])
    for bit in range(8 * length):
        greeting = begin()
        second = bytearray(hear(greeting.first_message).accept(NODE)[0])
        second[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Unreadable):
            greeting.finish(bytes(second))


@either
def test_a_message_cut_short_or_drawn_out_is_refused(begin: Callable[[], Greeting]) -> None:
    first = begin().first_message
    for changed in [*(first[:length] for length in range(len(first))), first + b"\0", first * 2]:
        with pytest.raises(Refusal):
            hear(changed)
    second = hear(begin().first_message).accept(NODE)[0]
    for length in range(len(second)):
        greeting = begin()
        second = hear(greeting.first_message).accept(NODE)[0]
        with pytest.raises(Unreadable):
            greeting.finish(second[:length])
    greeting = begin()
    with pytest.raises(Unreadable):
        greeting.finish(hear(greeting.first_message).accept(NODE)[0] + b"\0")


@either
def test_every_other_first_byte_is_no_greeting(begin: Callable[[], Greeting]) -> None:
    first = begin().first_message
    for byte in set(range(256)) - {1, 2}:
        with pytest.raises(ProtocolViolation, match="no greeting"):
            Knock.parse(bytes([byte]) + first[1:])


@pytest.mark.parametrize("first", [b"", b"\1", b"\2", b"\1" + bytes(31), b"\2" + bytes(47)])
def test_a_first_message_too_short_for_a_key_is_no_greeting(first: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="no greeting"):
        Knock.parse(first)


def test_a_pairing_cannot_be_turned_into_a_plain_call() -> None:
    first = pair().first_message
    for downgraded in (b"\1" + first[17:], b"\1" + first[1:]):
        with pytest.raises(Unreadable):
            hear(downgraded)


def test_a_plain_call_cannot_be_turned_into_a_pairing() -> None:
    first = call().first_message
    with pytest.raises(Unreadable):
        hear(b"\2" + OFFER + first[1:])


def test_the_offers_id_cannot_be_changed() -> None:
    first = pair().first_message
    other = offer_id(bytes(16))
    with pytest.raises(Unreadable):
        hear(first[:1] + other + first[17:])


@pytest.mark.parametrize("code", ["0428", "0000", "7240"])
def test_a_wrong_code_is_found_out_at_once(code: str) -> None:
    with pytest.raises(Unreadable):
        hear(pair().first_message, psk=pairing_key(SECRET, code))


def test_a_wrong_secret_is_found_out_at_once() -> None:
    with pytest.raises(Unreadable):
        hear(pair().first_message, psk=pairing_key(bytes(16), "0427"))


@either
def test_another_nodes_greeting_is_refused(begin: Callable[[], Greeting]) -> None:
    with pytest.raises(Unreadable):
        hear(begin().first_message, node="another node")


@either
def test_whoever_answers_without_the_nodes_key_is_found_out(begin: Callable[[], Greeting]) -> None:
    greeting = begin()
    pattern = Knock.parse(greeting.first_message).pattern
    imposter = Handshake(
        pattern,
        initiator=True,
        prologue=b"",
        static=key("imposter"),
        remote_static=public("phone"),
        psk=PSK if pattern is Pattern.IKpsk1 else None,
    )
    for answer in (imposter.write(encode(NODE)), greeting.first_message, bytes(200)):
        with pytest.raises(Unreadable):
            begin().finish(answer)


def test_a_replayed_first_message_reaches_no_further_than_the_handshake() -> None:
    greeting = call()
    hear(greeting.first_message).accept(NODE)
    second, on_node = hear(greeting.first_message).accept(NODE)  # whoever saw it says it again
    on_phone = greeting.finish(second)
    assert talk(on_phone, on_node)  # only the phone itself can seal what the node opens next
    _, unproven = hear(greeting.first_message).accept(NODE)
    with pytest.raises(ProtocolViolation):
        unproven.connection.open(on_phone.connection.seal(b"of another connection")[0])


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda point: point.hex()[:8])
def test_a_key_of_low_order_is_nobodys(point: bytes) -> None:
    with pytest.raises(BadRequest, match="key"):
        greet(key("phone"), point, PHONE)
    with pytest.raises(Unreadable):
        hear(b"\1" + point + call().first_message[33:])


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        encode([]),
        encode(["Phone"]),
        encode(["Phone", 1]),
        encode({"name": "Phone", "version": "1"}),
        encode(["x" * 65, "1"]),
        encode(["Phone", "x" * 65]),
        encode(["Phone", "1"]) + b"\0",
        b"\x92\xa1\xff\xa11",
        b"\x91" * 60_000,
    ],
)
def test_an_introduction_that_is_none_breaks_the_protocol(payload: bytes) -> None:
    greeting = call()
    handshake = Handshake(
        Pattern.IK,
        initiator=True,
        prologue=b"loopsy/1\1" + public("node"),
        static=key("phone"),
        remote_static=public("node"),
    )
    with pytest.raises(ProtocolViolation, match="introduction"):
        hear(b"\1" + handshake.write(payload))

    answering = Handshake(
        Pattern.IK, initiator=False, prologue=b"loopsy/1\1" + public("node"), static=key("node")
    )
    answering.read(greeting.first_message[1:])
    with pytest.raises(ProtocolViolation, match="introduction"):
        greeting.finish(answering.write(payload))


def test_an_introduction_may_grow() -> None:
    handshake = Handshake(
        Pattern.IK,
        initiator=True,
        prologue=b"loopsy/1\1" + public("node"),
        static=key("phone"),
        remote_static=public("node"),
    )
    heard = hear(b"\1" + handshake.write(encode(["Phone", "9.0.0", 2, 1, {"new": True}])))
    assert heard.introduction == Introduction("Phone", "9.0.0", 2, 1)


def test_who_speaks_version_1_alone_says_so_by_saying_nothing() -> None:
    assert write_introduction(Introduction("kai", "1.0")) == encode(["kai", "1.0"])
    assert write_introduction(Introduction("kai", "2.0", 2)) == encode(["kai", "2.0", 2, 1])


@pytest.mark.parametrize(("newest", "oldest"), [(1, 1), (2, 1), (9, 1)])
def test_who_speaks_our_version_too_is_welcome(newest: int, oldest: int) -> None:
    check_protocol(Introduction("kai", "9.0", newest, oldest))


def test_who_does_not_speak_our_version_is_told_in_a_sentence() -> None:
    with pytest.raises(Misconfigured, match=r"^kai speaks a newer protocol \(2\) .*update .* here"):
        check_protocol(Introduction("ka\x07i", "9.0", 3, 2))
    with pytest.raises(Misconfigured, match="the machine there speaks a newer protocol"):
        check_protocol(Introduction("\u202e\x07 ", "9.0", 3, 2))


@bounded(200)
@given(st.binary(max_size=200))
def test_garbage_is_refused_with_our_errors_only(garbage: bytes) -> None:
    for first in (garbage, b"\1" + garbage, b"\2" + garbage):
        with pytest.raises(Refusal):
            hear(first)
    with pytest.raises(Refusal):
        call().finish(garbage)
