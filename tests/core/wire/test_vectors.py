"""What the code says is, byte for byte, what the vectors beside these tests say."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from loopsy_core.errors import ProtocolViolation
from loopsy_core.wire import (
    Answer,
    Ask,
    Cipher,
    Credit,
    Data,
    Drop,
    End,
    Fault,
    Introduction,
    Item,
    Knock,
    Message,
    PairLink,
    Pattern,
    Ping,
    Pong,
    Raw,
    SealedConnection,
    encode,
    greet,
    greet_with_offer,
    offer_id,
    pairing_key,
)
from loopsy_core.wire.messages import decode_message
from tests.vectors.write import FOLDER, VECTORS, fill, text


def read(name: str) -> dict[str, Any]:
    vectors: dict[str, Any] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return vectors


def unhex(case: dict[str, Any], name: str) -> bytes:
    return bytes.fromhex(case[name])


@pytest.mark.parametrize("name", VECTORS)
def test_the_vectors_are_those_that_the_code_writes(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == text(name)


def test_no_vector_is_forgotten() -> None:
    assert {path.name for path in FOLDER.glob("*.json")} == set(VECTORS)


@pytest.mark.parametrize("case", read("greetings.json")["cases"], ids=lambda case: case["pattern"])
def test_both_sides_of_a_greeting_say_what_the_vectors_say(
    case: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The only randomness of a greeting is in its ephemeral keys: the phone's, then the node's.
    ephemerals = [
        X25519PrivateKey.from_private_bytes(unhex(case, name))
        for name in ("phone_ephemeral", "node_ephemeral")
    ]
    monkeypatch.setattr(X25519PrivateKey, "generate", lambda: ephemerals.pop(0))
    phone, node = (
        Introduction(*case["phone_introduction"]),
        Introduction(*case["node_introduction"]),
    )
    static, public = unhex(case, "phone_static"), unhex(case, "node_public")
    if case["secret"] is None:
        psk = None
        greeting = greet(static, public, phone)
    else:
        secret = unhex(case, "secret")
        psk = pairing_key(secret, case["code"])
        greeting = greet_with_offer(static, public, offer_id(secret), psk, phone)
    assert greeting.first_message == unhex(case, "first_message")

    knock = Knock.parse(unhex(case, "first_message"))
    assert knock.pattern is Pattern[case["pattern"]]
    heard = knock.read(unhex(case, "node_static"), public, psk)
    assert heard.introduction == phone
    second_message, on_node = heard.accept(node)
    assert second_message == unhex(case, "second_message")

    on_phone = greeting.finish(unhex(case, "second_message"))
    assert on_phone.introduction == node
    assert on_phone.remote == public
    assert on_phone.hash == on_node.hash == unhex(case, "handshake_hash")
    for says, hears, name in (
        (on_phone, on_node, "phone_says"),
        (on_node, on_phone, "node_says"),
    ):
        sealed = unhex(case, f"{name}_sealed")
        assert says.connection.seal(case[name].encode()) == [sealed]
        assert hears.connection.open(sealed) == case[name].encode()


def test_records_have_the_sizes_and_the_bytes_of_the_vectors() -> None:
    vectors = read("sealed.json")
    key = unhex(vectors, "key")
    writing = SealedConnection(Cipher(key), Cipher(bytes(32)))
    reading = SealedConnection(Cipher(bytes(32)), Cipher(key))
    for case in vectors["messages"]:
        records = writing.seal(fill(case["size"]))
        assert [len(record) for record in records] == case["record_sizes"]
        assert sha256(b"".join(records)).hexdigest() == case["sealed_sha256"]
        if case["sealed"] is not None:
            assert records == [unhex(case, "sealed")]
        *fragments, last = [reading.open(record) for record in records]
        assert fragments == [None] * len(fragments)
        assert last == fill(case["size"])


def test_the_key_changes_where_the_vectors_change_it() -> None:
    vectors = read("sealed.json")
    cipher = Cipher(unhex(vectors, "key"))
    cipher.nonce = vectors["rekeying"]["first_nonce"]
    reading = SealedConnection(Cipher(bytes(32)), cipher)
    for step in vectors["rekeying"]["steps"]:
        assert reading.open(unhex(step, "sealed")) == step["message"].encode()


def message_of(value: dict[str, Any]) -> Message:
    """Return the message that a case of calls.json describes."""
    match value:
        case {"type": "ask", "id": id_, "op": op, "params": params, "to": to}:
            return Ask(id_, op, Raw(encode(params)), to)
        case {"type": "answer", "id": id_, "result": result}:
            return Answer(id_, Raw(encode(result)))
        case {"type": "fault", "id": id_, "code": code, "message": why, "details": details}:
            return Fault(id_, code, why, Raw(encode(details)))
        case {"type": "data", "id": id_, "data": data}:
            return Data(id_, bytes.fromhex(data))
        case {"type": "item", "id": id_, "value": item}:
            return Item(id_, encode(item))
        case {"type": "credit", "id": id_, "total": total}:
            return Credit(id_, total)
        case {"type": "end", "id": id_}:
            return End(id_)
        case {"type": "drop", "id": id_, "lost": lost}:
            return Drop(id_, lost)
        case {"type": "ping" | "pong" as kind, "number": number}:
            return {"ping": Ping, "pong": Pong}[kind](number)
    raise NotImplementedError(value)


@pytest.mark.parametrize("case", read("calls.json")["messages"], ids=lambda case: case["encoded"])
def test_a_message_is_written_and_read_as_in_the_vectors(case: dict[str, Any]) -> None:
    message = message_of(case["value"])
    assert encode(message) == unhex(case, "encoded")
    assert decode_message(unhex(case, "encoded")) == message


@pytest.mark.parametrize("case", read("calls.json")["refused"], ids=lambda case: case["why"])
def test_what_the_vectors_refuse_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(ProtocolViolation):
        decode_message(unhex(case, "encoded"))


def test_pairing_comes_to_what_the_vectors_say() -> None:
    vectors = read("pairing.json")
    secret = unhex(vectors, "secret")
    assert offer_id(secret) == unhex(vectors, "offer_id")
    for code, key in vectors["keys"].items():
        assert pairing_key(secret, code).hex() == key
    link = PairLink.parse(vectors["link"]["text"])
    assert str(link) == vectors["link"]["text"]
    assert (link.relay, link.token, link.node, link.secret.hex()) == tuple(
        vectors["link"][name] for name in ("relay", "token", "node", "secret")
    )
