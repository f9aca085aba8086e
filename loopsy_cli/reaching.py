"""Which machine a command is about: `local`, or the name of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loopsy_core.errors import NotFound
from loopsy_core.wire import Hello

if TYPE_CHECKING:
    from loopsy_core.client import Client

__all__ = ["LOCAL", "reach"]

LOCAL: Final = "local"
"""What this machine is called by everybody, beside its own name."""


async def reach(here: Client, machine: str) -> Client:
    """Return what asks the machine of this name (or id), by way of this machine's node.

    Raises `NotFound` when there is none.
    """
    if machine == LOCAL:
        return here
    us = await here.ask(Hello())
    if machine in (us.name, us.node_id):
        return here
    raise NotFound(f"no machine {machine!r} is known here; this one is {us.name!r}, or {LOCAL!r}")
