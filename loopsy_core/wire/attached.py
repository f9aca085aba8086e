"""What host and viewer tell each other while a session is shown.

PROTOCOL.md section 5: the Items of the stream that `AttachSession` opens; between them flows
Data. Sizes are in cells, offsets and totals in bytes.
"""

from __future__ import annotations

from typing import Final, TypeAlias, get_args

import msgspec

from .codec import decode_as, tag_of
from .operation import Cells, Offset

__all__ = [
    "AttachedItem",
    "Claim",
    "Ended",
    "Picture",
    "Resize",
    "Resized",
    "Resumed",
    "Typed",
    "ViewerItem",
    "Viewers",
    "decode_attached",
    "decode_viewer_item",
]


class Resumed(msgspec.Struct, frozen=True, tag_field="type", tag="resumed"):
    """The output goes on exactly where the viewer left it."""

    epoch: str
    offset: Offset
    typed: Offset
    cols: Cells
    rows: Cells
    title: str
    resizes: Offset = 0
    """How many size changes there were before."""


class Picture(msgspec.Struct, frozen=True, tag_field="type", tag="picture"):
    """The next `length` bytes redraw the screen as it was at `offset`."""

    epoch: str
    offset: Offset
    typed: Offset
    cols: Cells
    rows: Cells
    title: str
    length: Offset
    resizes: Offset = 0
    """How many size changes there were before."""


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


class Viewers(msgspec.Struct, frozen=True, tag_field="type", tag="viewers"):
    """Who looks at the session now; sent at the beginning and after each change."""

    names: list[str]
    """Everybody, this viewer included, in the order in which they came."""
    owner: bool
    """Whether the terminal has the size that this viewer wishes."""


AttachedItem: TypeAlias = Resumed | Picture | Resized | Typed | Ended | Viewers

_attached_items: msgspec.msgpack.Decoder[AttachedItem] = msgspec.msgpack.Decoder(AttachedItem)


_KNOWN: Final = frozenset(kind.__struct_config__.tag for kind in get_args(AttachedItem))


def decode_attached(data: bytes) -> AttachedItem | None:
    """Return what a host tells its viewer, None for what only a newer version knows.

    Raises `BadRequest` when it makes no sense.
    """
    if tag_of(data) not in _KNOWN:
        return None
    return decode_as(data, _attached_items)


class Resize(msgspec.Struct, frozen=True, tag_field="type", tag="resize"):
    """How large the viewer would like the terminal, once the size is its to choose."""

    cols: Cells
    rows: Cells


class Claim(msgspec.Struct, frozen=True, tag_field="type", tag="claim"):
    """The viewer would like the size to be its to choose from now on, and this one."""

    cols: Cells
    rows: Cells


ViewerItem: TypeAlias = Resize | Claim

_viewer_items: msgspec.msgpack.Decoder[ViewerItem] = msgspec.msgpack.Decoder(ViewerItem)


def decode_viewer_item(data: bytes) -> ViewerItem:
    """Return what a viewer tells the host, or raise `BadRequest`."""
    return decode_as(data, _viewer_items)
