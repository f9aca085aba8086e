"""Everything that passes the relay is recorded: what is typed and shown is nowhere in it."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

from loopsy_core.client import Client, Drawn
from loopsy_core.wire import ConfigureRelay
from tests.machine import pair_phone, running_node, running_relay, temporary_home

if TYPE_CHECKING:
    from collections.abc import Generator

PATIENCE = 60.0
MARKER = "quixotic-zebra-4711"


@contextmanager
def tapped(relay: str) -> Generator[tuple[str, bytearray]]:
    """Stand in front of the relay; yields our own address and all bytes that go through."""
    host, _, port = relay.removeprefix("http://").partition(":")
    seen = bytearray()
    lock = threading.Lock()
    sockets: list[socket.socket] = []

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                with lock:
                    seen.extend(data)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def accept(listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
                far = socket.create_connection((host, int(port)), timeout=5)
            except OSError:
                return
            far.settimeout(None)
            sockets.extend((near, far))
            for pair in ((near, far), (far, near)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for each in sockets:
                each.close()


async def test_a_marker_that_is_typed_and_printed_passes_the_relay_unseen() -> None:
    with (
        trio.fail_after(PATIENCE),
        temporary_home() as home,
        running_relay(home.root) as (relay, _pid),
        tapped(relay) as (url, seen),
    ):
        async with running_node(home) as local:
            await local.ask(ConfigureRelay(url=url))
            phone = await pair_phone(local)
            async with phone.connected() as client:
                shown = await _type_marker(client)

    assert MARKER.upper().encode() in shown, "the phone saw the output"
    assert len(seen) > 3000, "the tap saw the traffic"
    for spelled in (MARKER, MARKER.upper(), MARKER[:9], MARKER[:9].upper()):
        assert spelled.encode() not in seen
    # What clients send is masked on the wire, but the relay passes it on unmasked, and the tap
    # stands on both sides of the relay.
    assert b"sessions.attach" not in seen
    assert b"xterm" not in seen


async def _type_marker(client: Client) -> bytes:
    session = await client.start(["sh", "-c", 'read line; echo "$line" | tr a-z A-Z; cat'])
    shown = b""
    async with client.attach(session.id, cols=80, rows=24) as (attached, drawn):
        shown += drawn.vt if drawn else b""
        await attached.type(f"{MARKER}\n".encode())
        while MARKER.upper().encode() not in shown:
            piece = await attached.receive()
            if isinstance(piece, bytes):
                shown += piece
            elif isinstance(piece, Drawn):
                shown += piece.vt
    return shown
