"""The WebSockets of a relay: who may open one, and how that is answered.

A node that may not in is answered in HTTP. A browser hides such an answer from the page, so a
phone is let in, told by a close code, and sent away.
"""

from __future__ import annotations

import binascii
import logging
import time
from base64 import b64decode
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import attrs
import trio
from wsproto.utilities import generate_accept_token

from loopsy_core.wire.envelope import ENVELOPE_OVERHEAD

from .accounts import Unauthorized
from .address import TooMany, Turnstile
from .connection import Ending, Line
from .outbox import Outbox
from .switchboard import REVOKED, TOO_MANY
from .websocket import WebSocket

if TYPE_CHECKING:
    from .accounts import Accounts, Phone
    from .config import RelayConfig
    from .http import Head, Http
    from .switchboard import Switchboard

__all__ = ["Sockets"]

_PROTOCOL: Final = "loopsy.v1"
_BEARER: Final = "loopsy.bearer."

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_log = logging.getLogger("loopsy_relay")


@attrs.frozen
class Sockets:
    """Opens WebSockets, and hands those that may in to the switchboard."""

    accounts: Accounts
    switchboard: Switchboard
    config: RelayConfig
    turnstile: Turnstile

    async def open(self, http: Http, head: Head) -> None:
        """Answer the upgrade request `head`, and serve the WebSocket until it ends."""
        match head.path:
            case "/ws/node":
                await self._open_node(http, head)
            case "/ws/phone":
                await self._open_phone(http, head)
            case _:
                await http.refuse(404, "not_found", "there is no WebSocket at this path")

    async def _open_node(self, http: Http, head: Head) -> None:
        problem = _problem_of(head)
        if problem is not None:
            await http.refuse(*problem)
            return
        try:
            self.turnstile.enter(head.address, trio.current_time())
            device = await self._find_device(_bearer_of(head))
        except TooMany as error:
            after = str(error.retry_after).encode()
            await http.refuse(error.status, error.code, error.message, [(b"retry-after", after)])
        except Unauthorized as error:
            challenge = [(b"www-authenticate", b"Bearer")]
            await http.refuse(error.status, error.code, error.message, challenge)
        else:
            longest = self.config.longest_message + ENVELOPE_OVERHEAD
            line = await self._accept(http, head, longest)
            # Nothing is awaited in here since the last look at the accounts but the answer.
            await self.switchboard.serve_node(device, line)

    async def _open_phone(self, http: Http, head: Head) -> None:
        problem = _problem_of(head) or self._foreign_origin(head)
        if problem is not None:
            await http.refuse(*problem)
            return
        line = await self._accept(http, head, self.config.longest_message)
        try:
            self.turnstile.enter(head.address, trio.current_time())
            phone = await self._find_phone(_bearer_of(head))
        except TooMany as error:
            await self._send_away(line, Ending(TOO_MANY, error.message))
        except Unauthorized as error:
            await self._send_away(line, Ending(REVOKED, error.message))
        else:
            await self.switchboard.serve_phone(phone, head.address, line)
