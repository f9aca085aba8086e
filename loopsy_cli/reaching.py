"""Which machine a command is about: `local`, or the name of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loopsy_core.wire import Hello

from .ask import ask

if TYPE_CHECKING:
    from loopsy_core.client import Client
    from loopsy_core.home import Home

__all__ = ["LOCAL", "is_here", "reach"]

LOCAL: Final = "local"
"""What this machine is called by everybody, beside its own name."""


def reach(here: Client, machine: str) -> Client:
    """Return what asks the machine of this name (or id), by way of this machine's node."""
    return here if machine == LOCAL else here.peer(machine)


def is_here(machine: str, home: Home) -> bool:
    """Whether that is this machine, whose home is `home`."""
    if machine == LOCAL:
        return True
    us = ask(Hello(), home)
    return machine in (us.name, us.node_id)
