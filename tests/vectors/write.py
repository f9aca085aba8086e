"""Writes the vectors beside this file: what both implementations must agree on, byte for byte.

Run as `python -m tests.vectors.write` after a deliberate change of the protocol, and look at the
difference. Python's tests hold the code to these files, and so do the web app's.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Final

from loopsy_core.wire import (
    Answer,
    Ask,
    Cipher,
    Credit,
    Data,
    Drop,
    End,
    Fault,
    Handshake,
    Introduction,
    Item,
    PairLink,
    Pattern,
    Ping,
    Pong,
    Raw,
    SealedConnection,
    encode,
    offer_id,
    pairing_key,
    write_introduction,
)
from loopsy_core.wire.sealed import REKEY_EVERY

FOLDER: Final = Path(__file__).parent


def _key(name: str) -> bytes:
    """Return a private key that everybody may know."""
    return sha256(f"loopsy test vector: {name}".encode()).digest()


def fill(size: int) -> bytes:
    """Return `size` bytes of which no two neighbours are alike: byte i is i mod 251."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def _public(private: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def greetings() -> dict[str, object]:
    """Handshakes as PROTOCOL.md section 2 has them, with the first records after them."""
    secret, code = bytes(range(16)), "0427"
    node = _key("node")
    cases = []
    for pattern, first_byte, offer in (
        (Pattern.IK, b"\x01", b""),
        (Pattern.IKpsk1, b"\x02", offer_id(secret)),
    ):
        psk = pairing_key(secret, code) if offer else None
        prologue = b"loopsy/1" + first_byte + _public(node) + offer
        phone = Handshake(
            pattern,
            initiator=True,
            prologue=prologue,
            static=_key("phone"),
            remote_static=_public(node),
            psk=psk,
            ephemeral=_key("phone ephemeral"),
        )
        answering = Handshake(
            pattern,
            initiator=False,
            prologue=prologue,
            static=node,
            psk=psk,
            ephemeral=_key("node ephemeral"),
        )
        first = phone.write(write_introduction(Introduction("Phone", "0.1.0")))
        answering.read(first)
        second = answering.write(write_introduction(Introduction("kai", "0.1.0")))
        phone.read(second)
        to_node = SealedConnection(*phone.split()).seal(b"hello, node")
        to_phone = SealedConnection(*answering.split()).seal(b"hello, phone")
        cases.append(
            {
                "pattern": pattern.name,
                "phone_static": _key("phone").hex(),
                "phone_ephemeral": _key("phone ephemeral").hex(),
                "node_static": node.hex(),
                "node_public": _public(node).hex(),
                "node_ephemeral": _key("node ephemeral").hex(),
                "secret": secret.hex() if offer else None,
                "code": code if offer else None,
                "phone_introduction": ["Phone", "0.1.0"],
                "node_introduction": ["kai", "0.1.0"],
                "first_message": (first_byte + offer + first).hex(),
                "second_message": second.hex(),
                "handshake_hash": phone.hash.hex(),
                "phone_says": "hello, node",
                "phone_says_sealed": to_node[0].hex(),
                "node_says": "hello, phone",
                "node_says_sealed": to_phone[0].hex(),
            }
        )
    return {"cases": cases}


def sealed() -> dict[str, object]:
    """Messages of every interesting size sealed in a row, and the step over a change of key."""
    connection = SealedConnection(Cipher(_key("sending")), Cipher(_key("receiving")))
    sizes = (1, 60, 61, 62, 125, 1021, 1022, 65_518, 65_519, 131_036, 131_037, 1 << 20)
    messages = []
    for size in sizes:
        records = connection.seal(fill(size))
        messages.append(
            {
                "size": size,
                "record_sizes": [len(record) for record in records],
                "sealed": records[0].hex() if len(records[0]) <= 256 else None,
                "sealed_sha256": sha256(b"".join(records)).hexdigest(),
            }
        )
    cipher = Cipher(_key("sending"))
    cipher.nonce = REKEY_EVERY - 2
    late = SealedConnection(cipher, Cipher(_key("receiving")))
    steps = [
        {"message": f"step {n}", "sealed": late.seal(f"step {n}".encode())[0].hex()}
        for n in range(4)
    ]
    return {
        "key": _key("sending").hex(),
        "fill": "byte i of a message is i mod 251",
        "messages": messages,
        "rekeying": {"first_nonce": REKEY_EVERY - 2, "steps": steps},
    }


def calls() -> dict[str, object]:
    """Each kind of message as bytes; values of Asks, Answers and Items are MessagePack."""
    params = {"cols": 80, "rows": 24, "argv": None, "name": "wörk"}
    cases = [
        (
            {"type": "ask", "id": 1, "op": "sessions.start", "params": params, "to": None},
            Ask(1, "sessions.start", Raw(encode(params))),
        ),
        (
            {"type": "ask", "id": 3, "op": "node.hello", "params": {}, "to": "kai"},
            Ask(3, "node.hello", Raw(encode({})), "kai"),
        ),
        (
            {"type": "answer", "id": 1, "result": {"alive": True, "n": -1, "t": 1.5}},
            Answer(1, Raw(encode({"alive": True, "n": -1, "t": 1.5}))),
        ),
        (
            {
                "type": "fault",
                "id": 300,
                "code": "not_found",
                "message": "no such session",
                "details": {},
            },
            Fault(300, "not_found", "no such session"),
        ),
        ({"type": "data", "id": 70_000, "data": fill(40).hex()}, Data(70_000, fill(40))),
        ({"type": "data", "id": 1, "data": ""}, Data(1, b"")),
        (
            {"type": "item", "id": 1, "value": {"type": "resize", "cols": 120, "rows": 40}},
            Item(1, encode({"type": "resize", "cols": 120, "rows": 40})),
        ),
        ({"type": "credit", "id": 1, "total": 1 << 40}, Credit(1, 1 << 40)),
        ({"type": "end", "id": 1}, End(1)),
        ({"type": "drop", "id": 2**31 - 1, "lost": False}, Drop(2**31 - 1)),
        ({"type": "drop", "id": 1, "lost": True}, Drop(1, lost=True)),
        ({"type": "ping", "number": 7}, Ping(7)),
        ({"type": "pong", "number": 7}, Pong(7)),
    ]
    refused = {
        "nothing": b"",
        "text": b"GET / HTTP/1.1\r\n\r\n",
        "a map": encode({"id": 1}),
        "an empty array": encode([]),
        "an unknown kind": encode([99, 1]),
        "id 0": encode([4, 0, b"x"]),
        "an id out of range": encode([7, 2**31]),
        "text for bytes": encode([4, 1, "x"]),
        "a missing element": encode([4, 1]),
        "a negative total": encode([6, 1, -1]),
        "bytes after the message": encode([7, 1]) + b"\x00",
    }
    return {
        "messages": [
            {"value": value, "encoded": encode(message).hex()} for value, message in cases
        ],
        "refused": [{"why": why, "encoded": data.hex()} for why, data in refused.items()],
    }


def pairing() -> dict[str, object]:
    """What comes of a secret and a code, and how a link looks."""
    secret = bytes(range(16))
    link = PairLink("https://relay.example", "eyJ0.abc-_", "a" * 52, secret)
    return {
        "secret": secret.hex(),
        "offer_id": offer_id(secret).hex(),
        "keys": {code: pairing_key(secret, code).hex() for code in ("0000", "0427", "9999")},
        "link": {
            "text": str(link),
            "relay": link.relay,
            "token": link.token,
            "node": link.node,
            "secret": link.secret.hex(),
        },
    }


VECTORS: Final = {
    "greetings.json": greetings,
    "sealed.json": sealed,
    "calls.json": calls,
    "pairing.json": pairing,
}
"""Each file and who makes it."""


def text(name: str) -> str:
    """Return what the file `name` holds."""
    return json.dumps(VECTORS[name](), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for file in VECTORS:
        (FOLDER / file).write_text(text(file), encoding="utf-8")
