"""What a relay's memory costs: idle, and for each phone that is connected."""

from __future__ import annotations

from contextlib import AsyncExitStack

import trio

from bench._figures import report, resident
from tests.machine import pair_phone, running_node, running_relay, temporary_home, use_relay

PHONES = 8  # connections that one phone may have
PAIRED = 6


async def main() -> None:
    """Compare the relay's memory with no phone and with many."""
    async with AsyncExitStack() as stack:
        home = stack.enter_context(temporary_home())
        relay, pid = stack.enter_context(running_relay(home.root))
        await trio.sleep(0.5)
        idle = resident(pid)
        local = await stack.enter_async_context(running_node(home))
        await use_relay(local, relay)
        phones = [await pair_phone(local) for _ in range(PAIRED)]
        await trio.sleep(0.5)
        before = resident(pid)
        for phone in phones:
            for _ in range(PHONES):
                await stack.enter_async_context(phone.connected())
        await trio.sleep(1)
        after = resident(pid)
    report("idle", idle / 1e6, "MB")
    report("each connected phone", (after - before) / (PHONES * PAIRED) / 1e3, "kB")


if __name__ == "__main__":
    trio.run(main)
