"""Moving files over one call: what the two sides say, and one file's bytes as two machines.

PROTOCOL.md section 8: the Items of the stream that `PushFiles` and `PullFiles` open; between
them flows Data. The same is said in both directions: who sends and who receives is all that
matters, not who asked. The machines hold the rules of a single file: from which offset it goes
on, how much of it there is, and that its digest is the same on both sides.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Final, TypeAlias

import msgspec

from loopsy_core.errors import BadRequest, LoopsyError, ProtocolViolation

from .codec import decode_as
from .operation import Offset
from .operations.files import FilePath, Mode, Nanoseconds

__all__ = [
    "RESUMABLE",
    "SMALL",
    "FileAgain",
    "FileBegins",
    "FileEnds",
    "FileFrom",
    "FileHave",
    "FileKept",
    "FileSkipped",
    "FileTotal",
    "FilesCarried",
    "FolderEnds",
    "LinkThere",
    "ReceiverItem",
    "ReceivingFile",
    "SenderItem",
    "SendingFile",
    "SmallFile",
    "decode_receiver_item",
    "decode_sender_item",
]

SMALL: Final = 32_768
"""Bytes of the largest file that fits into one Item, with its path and all else about it."""
RESUMABLE: Final = 1 << 20
"""Bytes from which on it is worth a question whether the other side has a part of a file."""

Digest: TypeAlias = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
"""SHA-256."""


# From the side that sends.


class FileTotal(msgspec.Struct, frozen=True, tag_field="type", tag="total"):
    """How much there is to send, as far as can be told beforehand."""

    files: Offset
    bytes: Offset


class SmallFile(msgspec.Struct, frozen=True, tag_field="type", tag="small"):
    """A whole file."""

    path: FilePath
    mode: Mode
    mtime: Nanoseconds
    data: Annotated[bytes, msgspec.Meta(max_length=SMALL)]
    sha256: Digest


class FileBegins(msgspec.Struct, frozen=True, tag_field="type", tag="file"):
    """A file whose bytes follow as Data."""

    path: FilePath
    size: Offset
    mode: Mode
    mtime: Nanoseconds
    ask: bool
    """Whether the sender waits for `FileHave`, and says `FileFrom` before the Data."""


class FileFrom(msgspec.Struct, frozen=True, tag_field="type", tag="from"):
    """The Data begins at this offset: where the receiver is, or 0 if it has something else."""

    offset: Offset


class FileEnds(msgspec.Struct, frozen=True, tag_field="type", tag="end"):
    """All bytes of the file have been sent."""

    sha256: Digest
    """Of the whole file, also of what was not sent because the receiver had it."""


class FileAgain(msgspec.Struct, frozen=True, tag_field="type", tag="again"):
    """The file changed while it was read: what was sent of it is void."""


class FolderEnds(msgspec.Struct, frozen=True, tag_field="type", tag="folder"):
    """A folder, behind everything in it, for writing there would change its times."""

    path: FilePath
    mode: Mode
    mtime: Nanoseconds


class LinkThere(msgspec.Struct, frozen=True, tag_field="type", tag="link"):
    """A symbolic link that points to something in the same folder that is sent."""

    path: FilePath
    target: Annotated[bytes, msgspec.Meta(min_length=1, max_length=4096)]


class FileSkipped(msgspec.Struct, frozen=True, tag_field="type", tag="skipped"):
    """Something that is not sent, and why."""

    path: FilePath
    code: Annotated[str, msgspec.Meta(max_length=64)]
    why: Annotated[str, msgspec.Meta(max_length=2000)]


# From the side that receives.


class FileHave(msgspec.Struct, frozen=True, tag_field="type", tag="have"):
    """How much of the file is here already; 0 for nothing."""

    offset: Offset
    sha256: Digest
    """Of that much: the sender compares it before it goes on there."""


class FileKept(msgspec.Struct, frozen=True, tag_field="type", tag="kept"):
    """Everything up to `path` is on disk under its final name."""

    path: FilePath
    files: Offset
    bytes: Offset


# From a node to its user, for whom it moves files (`SendFiles`, `FetchFiles`).


class FilesCarried(msgspec.Struct, frozen=True):
    """How far it is: since it was asked, but for `after`."""

    path: FilePath
    files: Offset
    bytes: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
    """What is sent anew counts twice, and is then taken back."""
    total_files: Offset
    total_bytes: Offset
    after: FilePath | None
    kept_files: Offset
    kept_bytes: Offset
    skipped: list[FileSkipped]
    """Those that were not told before."""


SenderItem: TypeAlias = (
    FileTotal
    | SmallFile
    | FileBegins
    | FileFrom
    | FileEnds
    | FileAgain
    | FolderEnds
    | LinkThere
    | FileSkipped
)
ReceiverItem: TypeAlias = FileHave | FileKept

_sender_items: msgspec.msgpack.Decoder[SenderItem] = msgspec.msgpack.Decoder(SenderItem)
_receiver_items: msgspec.msgpack.Decoder[ReceiverItem] = msgspec.msgpack.Decoder(ReceiverItem)


def decode_sender_item(value: bytes) -> SenderItem:
    """Return what the sending side says, or raise `BadRequest`."""
    return decode_as(value, _sender_items)


def decode_receiver_item(value: bytes) -> ReceiverItem:
    """Return what the receiving side says, or raise `BadRequest`."""
    return decode_as(value, _receiver_items)


class SendingFile:
    """One file on its way out, as the sender keeps count of it.

    First `hash_prefix` for as long as `prefix_left` says, then `begin`; then `sent` for every
    piece, and at last `end`.
    """

    def __init__(self, size: int, have: FileHave | None = None) -> None:
        """Begin to send `size` bytes, to a receiver which says that it has some of them."""
        self._size = size
        self._have = have if have is not None and have.offset <= size else None
        self._hash = hashlib.sha256()
        self._offset = 0
        self._begun = False

    @property
    def prefix_left(self) -> int:
        """Bytes of the file's beginning that have to be hashed before `begin`."""
        return 0 if self._begun or self._have is None else self._have.offset - self._offset

    @property
    def offset(self) -> int:
        """How many bytes of the file have been compared or sent."""
        return self._offset

    @property
    def left(self) -> int:
        """Bytes that are still to be sent."""
        return self._size - self._offset

    def hash_prefix(self, data: bytes | memoryview) -> None:
        """Take the next piece of what the receiver says to have."""
        if len(data) > self.prefix_left:
            raise LoopsyError("more of the file was read than what there is to compare")
        self._hash.update(data)
        self._offset += len(data)

    def begin(self) -> int:
        """Return the offset from which on bytes are sent: behind what the receiver has, or 0."""
        if self.prefix_left:
            raise LoopsyError("the part that the receiver has was not read to its end")
        if self._have is None or self._hash.digest() != self._have.sha256:
            self._hash = hashlib.sha256()
            self._offset = 0
        self._begun = True
        return self._offset

    def sent(self, data: bytes | memoryview) -> None:
        """Take the next piece that is sent."""
        if not self._begun:
            raise LoopsyError("nothing can be sent before it is known from where")
        if len(data) > self.left:
            raise LoopsyError("more of the file was read than there is")
        self._hash.update(data)
        self._offset += len(data)

    def end(self) -> FileEnds:
        """Return what to say behind the last piece."""
        if not self._begun or self.left:
            raise LoopsyError("the file was not sent to its end")
        return FileEnds(self._hash.digest())


class ReceivingFile:
    """One file on its way in, as the receiver keeps count of it.

    First `hash_prefix` with what is here already, then `have` and `begin`; then `take` for every
    piece, and at last `end`.
    """

    def __init__(self, size: int) -> None:
        """Begin to receive `size` bytes."""
        self._size = size
        self._hash = hashlib.sha256()
        self._offset = 0
        self._begun = False

    @property
    def offset(self) -> int:
        """How many bytes of the file are here."""
        return self._offset

    def hash_prefix(self, data: bytes | memoryview) -> None:
        """Take the next piece of what is here already."""
        if self._begun or self._offset + len(data) > self._size:
            raise LoopsyError("more is here than there can be of the file")
        self._hash.update(data)
        self._offset += len(data)

    def have(self) -> FileHave:
        """Return what to say of what is here already."""
        return FileHave(self._offset, self._hash.digest())

    def begin(self, offset: int) -> bool:
        """Go on at `offset`; return whether what is here stays. It is void otherwise.

        Raises `ProtocolViolation` unless that is where we are, or 0.
        """
        if self._begun or offset not in (0, self._offset):
            raise ProtocolViolation(f"a file goes on at {offset}, of which {self._offset} are here")
        self._begun = True
        if offset == self._offset:
            return True
        self._hash = hashlib.sha256()
        self._offset = 0
        return False

    def take(self, data: bytes | memoryview) -> None:
        """Take the next piece that came; raises `BadRequest` for more than was announced."""
        if not self._begun or self._offset + len(data) > self._size:
            raise BadRequest(f"more bytes came than the {self._size} that were announced")
        self._hash.update(data)
        self._offset += len(data)

    def end(self, item: FileEnds) -> None:
        """Compare with what the sender says; raises `BadRequest` when something is amiss."""
        if not self._begun or self._offset != self._size:
            raise BadRequest(f"only {self._offset} of {self._size} bytes came")
        if self._hash.digest() != item.sha256:
            raise BadRequest("what came is not what was sent: the SHA-256 digests differ")
