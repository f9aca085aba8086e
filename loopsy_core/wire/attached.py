"""What host and viewer tell each other while a session is shown.

PROTOCOL.md section 5: the Items of the stream that `AttachSession` opens; between them flows
Data. Sizes are in cells, offsets and totals in bytes.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from .codec import decode_as
from .operation import Cells, Offset

__all__ = [
    "AttachedItem",
    "Ended",
    "Picture",
    "Resize",
    "Resized",
    "Resumed",
    "Typed",
    "decode_attached",
]


class Resumed(msgspec.Struct, frozen=True, tag_field="type", tag="resumed"):
    """The output goes on exactly where the viewer left it."""

    epoch: str
    offset: Offset
    typed: Offset
    cols: Cells
    rows: Cells
    title: str


class Picture(msgspec.Struct, frozen=True, tag_field="type", tag="picture"):
    """The next `length` bytes redraw the screen as it was at `offset`."""

    epoch: str
    offset: Offset
    typed: Offset
    cols: Cells
    rows: Cells
    title: str
    length: Offset


class Resized(msgspec.Struct, frozen=True, tag_field="type", tag="resized"):
    """The terminal has this size from here on."""

    cols: Cells
    rows: Cells


class Typed(msgspec.Struct, frozen=True, tag_field="type", tag="typed"):
    """The host has this many of the viewer's typed bytes."""

    total: Offset


class Ended(msgspec.Struct, frozen=True, tag_field="type", tag="ended"):
    """The program ended, and all its output has been sent."""

    exit_code: int | None


AttachedItem: TypeAlias = Resumed | Picture | Resized | Typed | Ended

_attached_items: msgspec.msgpack.Decoder[AttachedItem] = msgspec.msgpack.Decoder(AttachedItem)


def decode_attached(data: bytes) -> AttachedItem:
    """Return what a host tells its viewer, or raise `BadRequest`."""
    return decode_as(data, _attached_items)


class Resize(msgspec.Struct, frozen=True, tag_field="type", tag="resize"):
    """How large the viewer would like the terminal; the only Item a viewer sends."""

    cols: Cells
    rows: Cells
