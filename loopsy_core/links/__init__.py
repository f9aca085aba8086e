"""How bytes travel: channels of whole messages, and the calls on them.

Whatever needs a WebSocket or the cryptography library is in `links.relay`, imported on its own.
"""

from __future__ import annotations

from .channel import Channel, FramedChannel, SealedChannel, receive_one
from .conversation import Answerer, Conversation, open_conversation
from .local import connect_local, serve_local
from .memory import memory_channels
from .stream import PASSED_ON, Asked, Call, Stream

__all__ = [
    "PASSED_ON",
    "Answerer",
    "Asked",
    "Call",
    "Channel",
    "Conversation",
    "FramedChannel",
    "SealedChannel",
    "Stream",
    "connect_local",
    "memory_channels",
    "open_conversation",
    "receive_one",
    "serve_local",
]
