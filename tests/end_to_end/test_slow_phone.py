"""A phone on a slow link, and a program that floods it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import trio

from loopsy_core.client import Drawn
from loopsy_core.wire import StartSession
from tests.machine import pair_phone, running_node, running_relay, temporary_home, use_relay
from tests.throttle import slow_link
from tests.world import PATIENCE

if TYPE_CHECKING:
    from loopsy_core.client import Attached, Client

RATE: Final = 1_000_000
"""Bytes a second that the phone gets."""
FELT: Final = 0.3
"""Seconds after which whoever pressed Ctrl-C may see that it was heard."""
FLOOD_SHOWN: Final = 2_000_000
PROMPT: Final = b"ready$ "


async def show_until(attached: Attached, text: bytes) -> None:
    """Take in what is shown until `text` is in it."""
    tail = b""
    while text not in tail:
        shown = await attached.receive()
        if isinstance(shown, Drawn):
            tail = shown.vt
        elif isinstance(shown, bytes):
            tail = tail[-100:] + shown


async def test_ctrl_c_is_felt_at_once_although_a_slow_phone_is_flooded() -> None:
    with trio.fail_after(PATIENCE):
        with temporary_home() as home, running_relay(home.root) as (relay, _):
            async with running_node(home) as local:
                await use_relay(local, relay)
                phone = await pair_phone(local)
                async with slow_link(urlsplit(relay).port or 0, RATE) as port:
                    phone.relay = f"http://127.0.0.1:{port}"
                    async with phone.connected() as client:
                        took = [await press_ctrl_c(client) for _ in range(3)]
    assert sorted(took)[1] < FELT, took


async def press_ctrl_c(client: Client) -> float:
    """Flood a shell's viewer, press Ctrl-C, and return the seconds until the prompt is there."""
    shell = StartSession(argv=["sh", "-i"], env={"PS1": PROMPT.decode(), "ENV": ""})
    session = await client.ask(shell)
    async with client.attach(session.id, cols=80, rows=24) as (attached, drawn):
        if drawn is None or PROMPT not in drawn.vt:
            await show_until(attached, PROMPT)
        await attached.type(b"yes\r")
        flood = 0
        while flood < FLOOD_SHOWN:
            shown = await attached.receive()
            flood += len(shown) if isinstance(shown, bytes) else 0
        began = trio.current_time()
        await attached.type(b"\x03")
        await show_until(attached, PROMPT)
        return trio.current_time() - began
