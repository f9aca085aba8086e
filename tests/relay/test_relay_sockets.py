"""Nodes and phones on a real relay's WebSockets."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import trio

from loopsy_core.wire.envelope import Bytes, Close, Joined, Left, encode_envelope
from loopsy_relay.config import Rate
from tests.relay.relay_world import PATIENCE, Relay, close_of, hear, open_relay

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

MEBIBYTE = 1 << 20


async def status_of(
    relay: Relay, path: str, protocols: list[str], headers: dict[str, str] | None = None
) -> int:
    """Return the status with which a WebSocket is refused before it is one."""
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol": ", ".join(protocols),
    }
    reply = await relay.ask("GET", path, headers=handshake | (headers or {}))
    assert reply.error
    return reply.status


async def test_bytes_pass_both_ways_up_to_the_longest_message(tmp_path: Path) -> None:
    async with open_relay(tmp_path) as relay:
        secret = await relay.register()
        phone_id, bearer = await relay.pair(secret)
        async with relay.open_node(secret) as node, relay.open_phone(bearer) as phone:
            assert node.subprotocol == phone.subprotocol == "loopsy.v1"
            joined = await hear(node)
            assert isinstance(joined, Joined)
            assert (joined.client, joined.from_) == (phone_id, "127.0.0.1")
            for message in (b"", b"x", bytes(65_535), bytes(MEBIBYTE)):
                await phone.send_message(message)
                assert await hear(node) == Bytes(joined.conn, message)
                await node.send_message(encode_envelope(Bytes(joined.conn, message)))
                assert await phone.get_message() == message
            await phone.aclose(1000)
            assert isinstance(await hear(node), Left)


async def test_a_message_that_is_too_long_ends_its_sender_only(tmp_path: Path) -> None:
    async with open_relay(tmp_path) as relay:
        secret = await relay.register()
        _, bearer = await relay.pair(secret)
        async with (
            relay.open_node(secret) as node,
            relay.open_phone(bearer) as phone,
            relay.open_phone(bearer) as other,
        ):
            first, _ = await hear(node), await hear(node)
            await phone.send_message(bytes(MEBIBYTE + 1))
            assert (await close_of(phone))[0] == 1009
            left = await hear(node)
            assert isinstance(left, Left)
            assert left.conn == first.conn
            await other.send_message(b"fine")
            assert isinstance(await hear(node), Bytes)


async def test_text_is_refused_from_either_side(tmp_path: Path) -> None:
    async with open_relay(tmp_path) as relay:
        secret = await relay.register()
        _, bearer = await relay.pair(secret)
        async with relay.open_node(secret) as node, relay.open_phone(bearer) as phone:
            await hear(node)
            await phone.send_message("text")
            assert (await close_of(phone))[0] == 1003
            assert isinstance(await hear(node), Left)
            await node.send_message("text")
            assert (await close_of(node))[0] == 1003


async def test_a_phone_with_a_wrong_bearer_is_let_in_to_be_told(tmp_path: Path) -> None:
    async with open_relay(tmp_path) as relay:
        secret = await relay.register()
        phone_id, bearer = await relay.pair(secret)
        for wrong in ["x.y", secret, bearer + "x", phone_id]:
            async with relay.open_phone(wrong) as phone:
                assert (await close_of(phone))[0] == 4401
        async with relay.open_socket("/ws/phone", ["loopsy.v1"]) as phone:
            assert (await close_of(phone))[0] == 4401
        async with relay.open_phone(bearer) as phone:
            assert (await close_of(phone))[0] == 4404


async def test_a_node_with_a_wrong_secret_is_refused_in_http(tmp_path: Path) -> None:
    async with open_relay(tmp_path) as relay:
        secret = await relay.register()
        _, bearer = await relay.pair(secret)
        for wrong in ["x.y", bearer, secret[:-1]]:
            offers = ["loopsy.v1", f"loopsy.bearer.{wrong}"]
            assert await status_of(relay, "/ws/node", offers) == 401
        assert await status_of(relay, "/ws/node", ["loopsy.v1"]) == 401
        assert await status_of(relay, "/ws/node", [f"loopsy.bearer.{secret}"]) == 400
        assert await status_of(relay, "/ws/node", ["loopsy.v2"]) == 400
        assert await status_of(relay, "/ws/other", ["loopsy.v1"]) == 404


async def test_a_page_of_another_site_is_refused(tmp_path: Path) -> None:
    async with open_relay(tmp_path, public_url="https://relay.example") as relay:
        _, bearer = await relay.pair(await relay.register())
        offers = ["loopsy.v1", f"loopsy.bearer.{bearer}"]
        here = f"{relay.address.host}:{relay.address.port}"
        for foreign in [
            "https://evil.example",
            "https://relay.example.evil.example",
            "https://relay.example:8443",
            f"http://{here}1",
            "null",
            "",
            "http://[::1",
            "file://",
        ]:
            assert await status_of(relay, "/ws/phone", offers, {"Origin": foreign}) == 403, foreign
        for ours in [f"http://{here}", f"https://{here}", "https://relay.example"]:
            headers = [(b"Origin", ours.encode())]
            async with relay.open_socket("/ws/phone", offers, headers) as phone:
                assert (await close_of(phone))[0] == 4404


async def test_connecting_too_often_is_refused(tmp_path: Path) -> None:
    async with open_relay(tmp_path, connecting=Rate(1, 2)) as relay:
        secret = await relay.register()
        _, bearer = await relay.pair(secret)
        async with relay.open_node(secret), relay.open_phone(bearer):
            async with relay.open_phone(bearer) as phone:
                assert (await close_of(phone))[0] == 4429
            offers = ["loopsy.v1", f"loopsy.bearer.{secret}"]
            assert await status_of(relay, "/ws/node", offers) == 429


async def test_compression_is_not_negotiated(tmp_path: Path) -> None:
    async with open_relay(tmp_path) as relay:
        heard = await relay.shout(
            b"GET /ws/phone HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\n"
            b"Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Protocol: loopsy.v1, loopsy.bearer.x.y\r\n"
            b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
        )
        head, _, frame = heard.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head  # RFC 6455, section 1.3
        assert b"extensions" not in head.lower()
        assert b"bearer" not in head
        assert frame[:2] == bytes([0x88, len(frame) - 2])
        assert int.from_bytes(frame[2:4]) == 4401


async def test_revoking_over_http_cuts_the_phone_that_is_connected(tmp_path: Path) -> None:
    async with open_relay(tmp_path) as relay:
        secret = await relay.register()
        phone_id, bearer = await relay.pair(secret)
        async with relay.open_node(secret) as node, relay.open_phone(bearer) as phone:
            await hear(node)
            [listed] = (await relay.ask("GET", "/api/v1/phones", secret=secret)).json["phones"]
            assert listed["connected"] is True
            assert listed["lastSeen"] >= listed["createdAt"]
            await relay.ask("DELETE", f"/api/v1/phones/{phone_id}", secret=secret)
            assert (await close_of(phone))[0] == 4401
            assert isinstance(await hear(node), Left)


async def test_removing_a_machine_cuts_its_node(tmp_path: Path) -> None:
    async with open_relay(tmp_path) as relay:
        secret = await relay.register()
        async with relay.open_node(secret) as node:
            await relay.ask("DELETE", "/api/v1/device", secret=secret)
            assert (await close_of(node))[0] == 4401


async def test_a_node_tells_a_phone_why_it_ends(tmp_path: Path) -> None:
    async with open_relay(tmp_path) as relay:
        secret = await relay.register()
        _, bearer = await relay.pair(secret)
        async with relay.open_node(secret) as node, relay.open_phone(bearer) as phone:
            joined = await hear(node)
            await node.send_message(encode_envelope(Close(joined.conn, "wrong_code:2")))
            assert await close_of(phone) == (4410, "wrong_code:2")


async def test_a_node_that_comes_again_takes_the_place_of_the_first(tmp_path: Path) -> None:
    async with open_relay(tmp_path) as relay:
        secret = await relay.register()
        async with relay.open_node(secret) as old, relay.open_node(secret) as new:
            assert (await close_of(old))[0] == 4409
            await new.ping()


async def test_a_node_whose_process_dies_frees_its_phones(tmp_path: Path) -> None:
    async with open_relay(tmp_path) as relay:
        secret = await relay.register()
        _, bearer = await relay.pair(secret)
        async with relay.open_node(secret) as node, relay.open_phone(bearer) as phone:
            await hear(node)
            stream = node._stream  # noqa: SLF001 - dies without a word
            await trio.aclose_forcefully(stream)
            assert (await close_of(phone))[0] == 4411


async def test_pings_are_sent_and_answered(tmp_path: Path) -> None:
    async with open_relay(tmp_path, ping_seconds=0.2, silence_seconds=0.5) as relay:
        secret = await relay.register()
        _, bearer = await relay.pair(secret)
        async with relay.open_node(secret) as node, relay.open_phone(bearer) as phone:
            await hear(node)
            await node.ping(b"are you there")
            await trio.sleep(1.2)  # real time, in which silence would have ended both
            await phone.send_message(b"still here")
            assert isinstance(await hear(node), Bytes)


async def test_a_phone_that_vanished_without_a_word_is_noticed(tmp_path: Path) -> None:
    async with open_relay(tmp_path, ping_seconds=0.2, silence_seconds=0.5) as relay:
        secret = await relay.register()
        _, bearer = await relay.pair(secret)
        async with relay.open_node(secret) as node:
            raw = await trio.to_thread.run_sync(connect_raw, relay, bearer, 65536)
            try:
                assert isinstance(await hear(node), Joined)
                assert isinstance(await hear(node), Left)  # it never answers a ping
            finally:
                raw.close()


async def test_a_phone_that_stops_reading_is_cut_while_others_go_on(tmp_path: Path) -> None:
    settings = {"stall_seconds": 1.0, "most_unread": 64 << 20}
    async with open_relay(tmp_path, **settings) as relay:
        secret = await relay.register()
        _, bearer = await relay.pair(secret)
        async with relay.open_node(secret) as node, relay.open_phone(bearer) as phone:
            other = await hear(node)
            raw = await trio.to_thread.run_sync(connect_raw, relay, bearer, 4096)
            try:
                stuck = await hear(node)
                began = trio.current_time()  # it stalls before the last of these has been sent
                for _ in range(200):  # far more than the kernel holds
                    await node.send_message(encode_envelope(Bytes(stuck.conn, bytes(60_000))))
                left = None
                while left is None:
                    await node.send_message(encode_envelope(Bytes(other.conn, b"tick")))
                    assert await phone.get_message() == b"tick"
                    with trio.move_on_after(0.05):
                        left = await hear(node)
                assert left == Left(stuck.conn, "it did not read")
                assert 0.5 < trio.current_time() - began < 5
            finally:
                raw.close()


async def test_a_phone_that_floods_waits_while_others_go_on(tmp_path: Path) -> None:
    async with open_relay(tmp_path, most_unread=1 << 20) as relay:
        secret = await relay.register()
        _, bearer = await relay.pair(secret)
        async with (
            relay.open_node(secret) as node,
            relay.open_phone(bearer) as flooding,
            relay.open_phone(bearer) as quiet,
        ):
            first, second = await hear(node), await hear(node)
            async with trio.open_nursery() as nursery:

                async def flood() -> None:
                    while True:
                        await flooding.send_message(bytes(60_000))

                nursery.start_soon(flood)
                for _ in range(20):
                    await hear(node)
                await quiet.send_message(b"me too")
                heard = [await hear(node)]
                while not (isinstance(heard[-1], Bytes) and heard[-1].sealed == b"me too"):
                    heard.append(await hear(node))
                assert {envelope.conn for envelope in heard} == {first.conn, second.conn}
                nursery.cancel_scope.cancel()


async def test_no_secret_is_ever_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    async with open_relay(tmp_path) as relay:
        secret = await relay.register()
        _, bearer = await relay.pair(secret)
        token = await relay.issue(secret)
        await relay.ask("GET", f"/api/v1/{bearer}", secret=secret)
        async with relay.open_node(secret) as node, relay.open_phone(bearer):
            await hear(node)
        async with relay.open_phone(bearer + "x") as phone:
            await close_of(phone)
    ours = "\n".join(
        record.getMessage() for record in caplog.records if record.name.startswith("loopsy")
    )
    assert ours
    for text in (secret, bearer, token):
        assert text.rpartition(".")[2] not in ours


def connect_raw(relay: Relay, bearer: str, receive_buffer: int) -> socket.socket:
    """Open a phone's WebSocket by hand, and never read or answer anything on it again."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    raw.settimeout(PATIENCE)
    raw.connect((relay.address.host, relay.address.port))
    raw.sendall(
        b"GET /ws/phone HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Protocol: loopsy.v1, loopsy.bearer.%s\r\n\r\n" % bearer.encode()
    )
    heard = b""
    while not heard.endswith(b"\r\n\r\n"):
        heard += raw.recv(1)
    return raw
