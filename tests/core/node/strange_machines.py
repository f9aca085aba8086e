"""Machines that do not behave: with a key of their own, and whatever a test has them say."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import trio
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from loopsy_core.home import Identity, peer_id
from loopsy_core.kit import one_error
from loopsy_core.links import FramedChannel, SealedChannel, open_conversation, receive_one
from loopsy_core.node.calling import call_machine
from loopsy_core.wire import AddPeer, Introduction, Knock

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from loopsy_core.home import PeerId
    from loopsy_core.links import Answerer, Asked, Conversation
    from loopsy_core.wire import Preset
    from tests.core.node.machines_world import Machine


class StrangeMachine:
    """A key, a name, and what it says of itself."""

    def __init__(self, name: str, *, newest: int = 1, oldest: int = 1) -> None:
        key = X25519PrivateKey.generate()
        public = key.public_key().public_bytes_raw()
        self.identity = Identity(key.private_bytes_raw(), public, name)
        self.introduction = Introduction(name, "9.9", newest, oldest)
        self.hello: dict[str, object] = {
            "node_id": self.id,
            "name": name,
            "version": "9.9",
            "grants": [],
            "contact": "",
        }
        self.calls = 0
        """How often it was called."""

    @property
    def id(self) -> PeerId:
        return peer_id(self.identity.public)

    async def known_to(
        self, machine: Machine, address: str | None = None, preset: Preset = "machine"
    ) -> None:
        """Have the user of `machine` trust this one."""
        await machine.client.ask(
            AddPeer(address=address, key=self.id, name=self.identity.name, preset=preset)
        )

    @asynccontextmanager
    async def talk(
        self, machine: Machine, answer: Answerer | None = None
    ) -> AsyncGenerator[Conversation]:
        """Call a machine, and talk with it."""
        line = await call_machine(
            self.identity, self.introduction, peer_id(machine.node.identity.public), machine.address
        )
        with one_error():
            async with open_conversation(
                line.channel, opener=True, answer=answer or self.answer
            ) as conversation:
                yield conversation

    async def answer(self, _: Asked) -> object:
        """Say hello, whatever is asked."""
        await trio.lowlevel.checkpoint()
        return self.hello

    @asynccontextmanager
    async def listening(
        self, serve: Callable[[SealedChannel], Awaitable[None]] | None = None
    ) -> AsyncGenerator[str]:
        """Let whoever calls in, and serve them; yields the address."""
        async with trio.open_nursery() as nursery:
            one = partial(self._serve_one, serve=serve or self.converse)
            [listener] = await nursery.start(partial(trio.serve_tcp, one, 0, host="127.0.0.1"))
            yield f"127.0.0.1:{listener.socket.getsockname()[1]}"
            nursery.cancel_scope.cancel()

    async def _serve_one(
        self, stream: trio.SocketStream, serve: Callable[[SealedChannel], Awaitable[None]]
    ) -> None:
        self.calls += 1
        channel = FramedChannel(stream)
        knock = Knock.parse(await receive_one(channel))
        heard = knock.read(self.identity.private, self.identity.public)
        second, established = heard.accept(self.introduction)
        await channel.send([second])
        await serve(SealedChannel(channel, established.connection))

    async def converse(self, channel: SealedChannel) -> None:
        """Answer until the caller leaves."""
        async with open_conversation(channel, opener=False, answer=self.answer) as conversation:
            await conversation.wait_closed()
