"""Files on their way between HTTP and a transfer: whole, in a folder of their own, for a moment.

A transfer names the size of a file before its bytes and goes back in it where a connection was
lost, and an answer by HTTP should not begin before it is known to come to its end. Neither can be
done with a stream, so what passes here is kept on disk, in constant memory, until it is through.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import attrs
import trio
from werkzeug.exceptions import HTTPException
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from loopsy_core.errors import BadRequest, LoopsyError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from typing import BinaryIO

__all__ = ["MULTIPART", "RAW", "Spooled", "open_spool", "read_file", "spool_form", "spool_raw"]

MULTIPART: Final = "multipart/form-data"
RAW: Final = "application/octet-stream"

MOST_IN_MEMORY: Final = 1 << 20
"""Bytes of a form that are looked at at once: a field, or the headers of a part."""
MOST_PARTS: Final = 32
PIECE: Final = 1 << 18
CLEANING: Final = 30.0
"""Seconds that removing the folder may take when nobody waits for it any more."""


@attrs.define
class Spooled:
    """A file that came in whole, and what was said about it."""

    path: Path
    size: int
    checksum: str
    """SHA-256, in hex."""
    fields: dict[str, str]


@asynccontextmanager
async def open_spool() -> AsyncGenerator[Path]:
    """Make a folder that nobody else can look into; it is gone afterwards with all in it.

    Raises `LoopsyError` for whatever the system has against files there.
    """
    try:
        folder = Path(await trio.to_thread.run_sync(tempfile.mkdtemp, None, "loopsy-"))
        try:
            yield folder
        finally:
            with trio.move_on_after(CLEANING, shield=True):
                await trio.to_thread.run_sync(shutil.rmtree, folder, True)
    except OSError as error:  # the disk is full, say
        where = tempfile.gettempdir()
        raise LoopsyError(f"no file can be kept in {where}: {error.strerror or error}") from error


async def spool_raw(folder: Path, body: AsyncIterator[bytes], name: str) -> Spooled:
    """Keep a body that is a file; `name` is what it is to be called."""
    with _Writer(folder, name) as writer:
        async for piece in body:
            await writer.write(piece)
        return writer.spooled({})


async def spool_form(folder: Path, body: AsyncIterator[bytes], content_type: str) -> Spooled:
    """Keep the one file of a form (RFC 7578), and return its fields with it."""
    boundary = parse_options_header(content_type)[1].get("boundary", "")
    if not boundary.isascii() or not 0 < len(boundary) <= 70:  # RFC 2046, section 5.1.1
        raise BadRequest("the Content-Type of a form must name its boundary")
    decoder = MultipartDecoder(boundary.encode(), MOST_IN_MEMORY, max_parts=MOST_PARTS)
    form = _Form(folder)
    try:
        async for piece in body:
            for start in range(0, len(piece), PIECE):
                decoder.receive_data(piece[start : start + PIECE])
                await form.take(decoder)
        decoder.receive_data(None)
        await form.take(decoder)
        return form.finish()
    except (ValueError, HTTPException):
        raise BadRequest("the body is not a valid form, or its fields are too long") from None
    finally:
        form.close()


async def read_file(path: Path) -> AsyncGenerator[bytes]:
    """Read a file in pieces."""
    async with await trio.open_file(path, "rb") as file:
        while piece := await file.read(PIECE):
            yield piece


class _Form:
    """Takes in the parts of a form: one file, and small fields."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fields: dict[str, bytearray] = {}
        self._field: bytearray | None = None
        self._writer: _Writer | None = None
        self._complete = False

    async def take(self, decoder: MultipartDecoder) -> None:
        while not isinstance(event := decoder.next_event(), NeedData | Epilogue):
            match event:
                case File(filename=filename):
                    if self._writer is not None:
                        raise BadRequest("a form may hold one file only")
                    self._field = None
                    self._writer = _Writer(self._folder, filename)
                case Field(name=name):
                    self._field = self._fields[name] = bytearray()
                case Data(data=data):
                    if self._field is None and self._writer is not None:
                        await self._writer.write(data)
                    elif self._field is not None:
                        self._field += data
                        if sum(map(len, self._fields.values())) > MOST_IN_MEMORY:
                            raise BadRequest("the fields of the form are too long")
        self._complete = isinstance(event, Epilogue)

    def finish(self) -> Spooled:
        if not self._complete:
            raise BadRequest("the form was cut off")
        if self._writer is None:
            raise BadRequest("file: is missing in the form")
        fields = {name: value.decode() for name, value in self._fields.items()}
        return self._writer.spooled(fields)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class _Writer:
    """Writes one file, and counts and digests what it writes."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / _safe(name)
        self._file: BinaryIO = self._path.open("xb")
        self._digest = hashlib.sha256()
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def write(self, data: bytes) -> None:
        await trio.to_thread.run_sync(self._write, data)

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self._size += len(data)

    def spooled(self, fields: dict[str, str]) -> Spooled:
        self._file.flush()
        return Spooled(self._path, self._size, self._digest.hexdigest(), fields)

    def close(self) -> None:
        self._file.close()


def _safe(name: str) -> str:
    """Return the last name of a path that somebody else wrote, and never one that leads away."""
    last = name.replace("\\", "/").rpartition("/")[2].replace("\0", "")
    encoded = os.fsencode(last.encode("utf-8", "replace").decode())[:255]
    text = encoded.decode("utf-8", "ignore")
    return text if text not in ("", ".", "..") else "upload"
