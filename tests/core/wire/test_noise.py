"""Handshakes: the published vectors hold, and nothing but the right messages is accepted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.wire import Cipher, Handshake, Pattern, Unreadable
from tests.core.wire.keys import LOW_ORDER, flips, key, public
from tests.play import bounded

if TYPE_CHECKING:
    from collections.abc import Iterator

VECTORS = Path(__file__).parents[4] / "shared" / "vectors" / "noise.json"

PSK = bytes(range(32))

every_pattern = pytest.mark.parametrize("pattern", Pattern)
every_message = pytest.mark.parametrize(
    ("pattern", "number"),
    [(pattern, number) for pattern in Pattern for number in range(len(pattern.messages))],
)


def published() -> list[Any]:
    if not VECTORS.exists():
        absent = pytest.mark.skip(reason="the published vectors do not lie beside this checkout")
        return [pytest.param(None, marks=absent, id="absent")]
    vectors = json.loads(VECTORS.read_text(encoding="utf-8"))["vectors"]
    return [pytest.param(vector, id=vector["protocol_name"]) for vector in vectors]


def two_sides(
    pattern: Pattern, *, psk: bytes = PSK, prologue: bytes = b"p", responder: str = "responder"
) -> tuple[Handshake, Handshake]:
    """Return an initiator, and a responder that differs from what it expects as the test likes."""
    with_psk = pattern is Pattern.IKpsk1
    initiator = Handshake(
        pattern,
        initiator=True,
        prologue=b"p",
        static=key("initiator"),
        remote_static=public("responder") if pattern.knows_responder else None,
        psk=PSK if with_psk else None,
        ephemeral=key("initiator's ephemeral"),
    )
    answering = Handshake(
        pattern,
        initiator=False,
        prologue=prologue,
        static=key(responder),
        psk=psk if with_psk else None,
        ephemeral=key("responder's ephemeral"),
    )
    return initiator, answering


def run(initiator: Handshake, responder: Handshake) -> list[bytes]:
    """Run a handshake to its end and return its messages."""
    messages: list[bytes] = []
    sides = [initiator, responder]
    while not (initiator.done and responder.done):
        messages.append(sides[0].write(b"payload"))
        assert sides[1].read(messages[-1]) == b"payload"
        sides.reverse()
    return messages


@pytest.mark.parametrize("vector", published())
def test_the_published_vectors_hold(vector: dict[str, Any]) -> None:
    def side(name: str, *, initiator: bool) -> Handshake:
        def value(what: str) -> bytes | None:
            text = vector.get(f"{name}_{what}")
            return bytes.fromhex(text[0] if isinstance(text, list) else text) if text else None

        static, prologue = value("static"), value("prologue")
        assert static is not None
        assert prologue is not None
        return Handshake(
            Pattern[vector["protocol_name"].split("_")[1]],
            initiator=initiator,
            prologue=prologue,
            static=static,
            remote_static=value("remote_static"),
            psk=value("psks"),
            ephemeral=value("ephemeral"),
        )

    sides = [side("init", initiator=True), side("resp", initiator=False)]
    ciphers: list[tuple[Cipher, Cipher]] = []
    for number, message in enumerate(vector["messages"]):
        payload, expected = (bytes.fromhex(message[what]) for what in ("payload", "ciphertext"))
        writer, reader = number % 2, 1 - number % 2
        if sides[0].done and not ciphers:
            ciphers = [handshake.split() for handshake in sides]
            assert {handshake.hash.hex() for handshake in sides} == {vector["handshake_hash"]}
        if ciphers:
            assert ciphers[writer][0].encrypt(payload) == expected
            assert ciphers[reader][1].decrypt(expected) == payload
        else:
            assert sides[writer].write(payload) == expected
            assert sides[reader].read(expected) == payload
    assert ciphers


@every_pattern
def test_both_sides_end_with_the_same_hash_each_others_keys_and_crossed_ciphers(
    pattern: Pattern,
) -> None:
    initiator, responder = two_sides(pattern)
    run(initiator, responder)
    assert initiator.hash == responder.hash
    assert initiator.remote_static == public("responder")
    assert responder.remote_static == public("initiator")
    (sending, receiving), (back, forth) = initiator.split(), responder.split()
    assert forth.decrypt(sending.encrypt(b"there")) == b"there"
    assert receiving.decrypt(back.encrypt(b"and back")) == b"and back"


@every_pattern
def test_every_connection_has_keys_of_its_own(pattern: Pattern) -> None:
    def fresh(*, initiator: bool) -> Handshake:
        return Handshake(
            pattern,
            initiator=initiator,
            prologue=b"p",
            static=key("initiator" if initiator else "responder"),
            remote_static=public("responder") if initiator and pattern.knows_responder else None,
            psk=PSK if pattern is Pattern.IKpsk1 else None,
        )

    first, second = [], []
    for seen in (first, second):
        initiator, responder = fresh(initiator=True), fresh(initiator=False)
        seen += [*run(initiator, responder), initiator.hash, initiator.split()[0].encrypt(b"x")]
    assert not set(first) & set(second)


@bounded(30)
@given(st.sampled_from(Pattern), st.lists(st.binary(max_size=200), min_size=3, max_size=3))
def test_payloads_of_any_size_arrive(pattern: Pattern, payloads: list[bytes]) -> None:
    sides = list(two_sides(pattern))
    for payload, _ in zip(payloads, pattern.messages, strict=False):
        assert sides[1].read(sides[0].write(payload)) == payload
        sides.reverse()


# What must not be accepted.


def outcome(sides: list[Handshake], changed: dict[int, bytes]) -> Iterator[bytes]:
    """Run a handshake in which message number n is replaced; yield what was written."""
    number = 0
    while not (sides[0].done and sides[1].done):
        message = sides[0].write(b"payload")
        yield message
        sides[1].read(changed.get(number, message))
        sides.reverse()
        number += 1


@every_message
def test_no_handshake_survives_a_flipped_bit(pattern: Pattern, number: int) -> None:
    original = run(*two_sides(pattern))[number]
    for changed in flips(original):
        with pytest.raises(Unreadable):
            list(outcome(list(two_sides(pattern)), {number: changed}))


@every_message
def test_no_handshake_survives_a_message_cut_or_drawn_out(pattern: Pattern, number: int) -> None:
    original = run(*two_sides(pattern))[number]
    cut = [original[:length] for length in range(len(original))]
    for changed in [*cut, original + b"\0", original * 2, bytes(65_536)]:
        with pytest.raises(Unreadable):
            list(outcome(list(two_sides(pattern)), {number: changed}))


@pytest.mark.parametrize(
    ("pattern", "wrong"),
    [
        (Pattern.IKpsk1, {"psk": bytes(32)}),
        (Pattern.IK, {"prologue": b"q"}),
        (Pattern.IKpsk1, {"prologue": b""}),
        (Pattern.XX, {"prologue": b"pp"}),
        (Pattern.IK, {"responder": "somebody else"}),
        (Pattern.IKpsk1, {"responder": "somebody else"}),
    ],
)
def test_sides_that_do_not_agree_do_not_connect(pattern: Pattern, wrong: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        run(*two_sides(pattern, **wrong))


def test_a_wrong_key_for_the_offer_is_found_out_in_the_first_message() -> None:
    initiator, responder = two_sides(Pattern.IKpsk1, psk=bytes(32))
    with pytest.raises(Unreadable):
        responder.read(initiator.write())


def test_a_handshake_that_failed_does_not_go_on_with_the_right_message() -> None:
    initiator, responder = two_sides(Pattern.IK)
    right = initiator.write(b"payload")
    with pytest.raises(Unreadable):
        responder.read(right[:-1] + bytes([right[-1] ^ 1]))
    with pytest.raises(Unreadable):
        responder.read(right)


def test_a_message_of_another_handshake_is_refused() -> None:
    first, second = two_sides(Pattern.IK), two_sides(Pattern.IK, responder="responder")
    stale = Handshake(
        Pattern.IK,
        initiator=True,
        prologue=b"p",
        static=key("initiator"),
        remote_static=public("responder"),
    )
    second[1].read(stale.write())
    for_the_stale_one = second[1].write()
    first[1].read(first[0].write())
    with pytest.raises(Unreadable):
        first[0].read(for_the_stale_one)


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda point: point.hex()[:8])
@every_pattern
def test_a_point_of_low_order_is_refused(pattern: Pattern, point: bytes) -> None:
    if pattern.knows_responder:
        with pytest.raises(Unreadable):
            Handshake(
                pattern,
                initiator=True,
                prologue=b"p",
                static=key("initiator"),
                remote_static=point,
                psk=PSK if pattern is Pattern.IKpsk1 else None,
            ).write()
    first = two_sides(pattern)[0].write(b"payload")
    with pytest.raises(Unreadable):
        list(outcome(list(two_sides(pattern)), {0: point + first[32:]}))


class LowOrderKey:
    """A "private key" whose public key is of low order: every secret with it is known to all."""

    def __init__(self, point: bytes) -> None:
        self._point = point

    def public_key(self) -> LowOrderKey:
        return self

    def public_bytes_raw(self) -> bytes:
        return self._point

    def exchange(self, _public: object) -> bytes:
        return bytes(32)


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda point: point.hex()[:8])
@every_pattern
def test_a_static_key_of_low_order_is_refused_though_it_is_sealed_well(
    pattern: Pattern, point: bytes
) -> None:
    sides = list(two_sides(pattern))
    sides[0]._static = LowOrderKey(point)  # type: ignore[assignment]  # noqa: SLF001 - a cheat
    with pytest.raises(Unreadable):
        list(outcome(sides, {}))


# Misuse.


@every_pattern
def test_a_handshake_is_written_and_read_in_turn(pattern: Pattern) -> None:
    initiator, responder = two_sides(pattern)
    with pytest.raises(RuntimeError, match="turn"):
        initiator.read(bytes(100))
    with pytest.raises(RuntimeError, match="turn"):
        responder.write()
    with pytest.raises(RuntimeError, match="not done"):
        initiator.split()
    message = initiator.write()
    with pytest.raises(RuntimeError, match="turn"):
        initiator.write()
    responder.read(message)
    with pytest.raises(RuntimeError, match="turn"):
        responder.read(message)


@every_pattern
def test_a_handshake_that_is_done_is_done(pattern: Pattern) -> None:
    sides = two_sides(pattern)
    run(*sides)
    for side in sides:
        assert side.done
        with pytest.raises(RuntimeError, match="done"):
            side.write()
        with pytest.raises(RuntimeError, match="done"):
            side.read(b"")


@pytest.mark.parametrize(
    ("pattern", "initiator", "remote", "psk"),
    [
        (Pattern.IK, True, None, None),
        (Pattern.IK, False, public("responder"), None),
        (Pattern.IK, True, public("responder"), PSK),
        (Pattern.IKpsk1, True, public("responder"), None),
        (Pattern.IKpsk1, False, None, None),
        (Pattern.XX, True, public("responder"), None),
        (Pattern.XX, False, None, PSK),
    ],
)
def test_a_handshake_is_not_made_with_keys_that_do_not_fit_it(
    pattern: Pattern, *, initiator: bool, remote: bytes | None, psk: bytes | None
) -> None:
    with pytest.raises(ValueError, match=r"know|pre-shared"):
        Handshake(
            pattern,
            initiator=initiator,
            prologue=b"",
            static=key("a"),
            remote_static=remote,
            psk=psk,
        )


# Ciphers.


def test_a_cipher_opens_messages_in_their_order_and_once() -> None:
    sending, receiving = Cipher(PSK), Cipher(PSK)
    first, second = sending.encrypt(b"1"), sending.encrypt(b"2")
    with pytest.raises(Unreadable):
        receiving.decrypt(second)
    assert receiving.decrypt(first) == b"1"  # a failure has not moved the nonce
    with pytest.raises(Unreadable):
        receiving.decrypt(first)
    assert receiving.decrypt(second) == b"2"


@pytest.mark.parametrize("sealed", [b"", b"x", bytes(15), bytes(16), bytes(100)])
def test_bytes_that_are_no_sealed_message_are_unreadable(sealed: bytes) -> None:
    with pytest.raises(Unreadable):
        Cipher(PSK).decrypt(sealed)


def test_associated_data_must_be_the_same() -> None:
    sealed = Cipher(PSK).encrypt(b"x", b"this")
    with pytest.raises(Unreadable):
        Cipher(PSK).decrypt(sealed, b"that")
    assert Cipher(PSK).decrypt(sealed, b"this") == b"x"


def test_rekey_is_the_function_of_the_noise_specification() -> None:
    nonce = b"\0\0\0\0" + b"\xff" * 8
    replaced = ChaCha20Poly1305(PSK).encrypt(nonce, bytes(32), b"")[:32]
    cipher, expected = Cipher(PSK), Cipher(replaced)
    cipher.encrypt(b"one message under the old key")
    cipher.rekey()
    expected.nonce = 1  # the nonce goes on counting
    assert cipher.encrypt(b"x") == expected.encrypt(b"x")
