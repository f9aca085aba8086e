"""What a node tells the asker of a job while it runs.

PROTOCOL.md section 7: the Items of the stream that `RunJob` and `AttachJob` open; between them
flows Data.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

import msgspec

from .codec import decode_as, tag_of
from .operation import Offset

__all__ = ["JobItem", "JobOutput", "JobStarted", "OutputName", "decode_job_item"]

OutputName: TypeAlias = Literal["stdout", "stderr"]


class JobStarted(msgspec.Struct, frozen=True, tag_field="type", tag="started"):
    """The job runs, or ran; always the first Item."""

    job: str
    """Its id, with which it can be picked up again or cancelled."""
    pid: int
    taken: Offset
    """How many bytes of standard input it has been given: the next of the asker's Data is that."""


class JobOutput(msgspec.Struct, frozen=True, tag_field="type", tag="output"):
    """The Data from here on was written to `stream`, and begins at `offset` of all written there.

    An offset beyond where the asker is means that what lies between is lost.
    """

    stream: OutputName
    offset: Offset


JobItem: TypeAlias = JobStarted | JobOutput

_items: msgspec.msgpack.Decoder[JobItem] = msgspec.msgpack.Decoder(JobItem)

_KNOWN: Final = frozenset(kind.__struct_config__.tag for kind in get_args(JobItem))


def decode_job_item(data: bytes) -> JobItem | None:
    """Return what a node tells about a job, None for what only a newer version knows.

    Raises `BadRequest` when it makes no sense.
    """
    if tag_of(data) not in _KNOWN:
        return None
    return decode_as(data, _items)
