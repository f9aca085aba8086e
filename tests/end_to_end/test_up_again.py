"""`loopsy up` again, after its address has changed: phones that paired before are still known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from tests.browser.up import end_everything, up
from tests.machine import take_offer

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 60.0


async def test_a_phone_survives_the_relay_moving_to_another_port(tmp_path: Path) -> None:
    home = tmp_path / "home"
    try:
        with trio.fail_after(PATIENCE):
            with up(home) as first:
                phone = await take_offer(first.pair_url, first.code)
            with up(home) as second:
                assert second.port != first.port, "the system gave the same port twice"
                phone.relay = second.app_url.removesuffix("/app")
                async with phone.connected() as client:
                    status = await client.status()
                    session = await client.start(["sleep", "1000"])
                    await client.end_session(session.id)
        assert status.phones == 1
        assert status.relay.connected
    finally:
        end_everything(home)
