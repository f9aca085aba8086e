"""Writing past the page cache gives the same file as any other way, on any file system."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.files import direct
from loopsy_core.files.direct import BLOCK, DirectWriter

if TYPE_CHECKING:
    from collections.abc import Generator

CONTENT = bytes(range(251)) * (3 * BLOCK // 251 + 1)
MEMORY = Path("/dev/shm")


@contextmanager
def opened(folder: Path, before: int = 0) -> Generator[int]:
    """Make a file of which the first `before` bytes are there."""
    path = file_in(folder)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, CONTENT[:before])
        yield descriptor
    finally:
        os.close(descriptor)
        path.unlink()


def file_in(folder: Path) -> Path:
    return folder / f"file-{os.getpid()}"


def content(folder: Path) -> bytes:
    return file_in(folder).read_bytes()


@pytest.fixture(scope="module", params=["disk", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "disk":
        return tmp_path_factory.mktemp("direct")
    if not os.access(MEMORY, os.W_OK):
        pytest.skip(f"there is no file system in memory at {MEMORY}")
    return MEMORY


@given(
    before=st.integers(0, BLOCK + 5000),
    sizes=st.lists(st.sampled_from([1, 4095, 65_000, 260_000, BLOCK - 1, BLOCK, BLOCK + 1])),
)
def test_any_pieces_from_any_place_make_the_file(
    folder: Path, before: int, sizes: list[int]
) -> None:
    with opened(folder, before) as descriptor:
        writer = DirectWriter(descriptor, before)
        end = before
        for size in sizes:
            writer.write([CONTENT[end : end + size]])
            end = min(end + size, len(CONTENT))
        writer.flush()
        assert content(folder) == CONTENT[:end]
        assert not fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT


def test_whole_blocks_go_past_the_page_cache(tmp_path: Path) -> None:
    with opened(tmp_path, 10) as descriptor:
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_DIRECT)
            fcntl.fcntl(descriptor, fcntl.F_SETFL, 0)
        except OSError:
            pytest.skip("this file system knows no direct writing")
        writer = DirectWriter(descriptor, 10)
        writer.write([CONTENT[10 : BLOCK + 10]])
        assert not fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT
        writer.write([CONTENT[BLOCK + 10 : 2 * BLOCK]])
        assert fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT
        assert content(tmp_path) == CONTENT[: 2 * BLOCK]  # nothing waits for the flush


def test_a_disk_that_takes_no_direct_block_is_written_to_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pwrite = os.pwrite

    def refuse(descriptor: int, data: memoryview, offset: int) -> int:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return pwrite(descriptor, data, offset)

    monkeypatch.setattr(direct.os, "pwrite", refuse)
    with opened(tmp_path) as descriptor:
        writer = DirectWriter(descriptor, 0)
        writer.write([CONTENT])
        writer.flush()
        assert content(tmp_path) == CONTENT


def test_a_block_of_which_the_disk_took_a_part_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pwrite = os.pwrite

    def write_some(descriptor: int, data: memoryview, offset: int) -> int:
        return pwrite(descriptor, data[: max(4096, len(data) // 2 // 4096 * 4096)], offset)

    monkeypatch.setattr(direct.os, "pwrite", write_some)
    with opened(tmp_path) as descriptor:
        writer = DirectWriter(descriptor, 0)
        writer.write([CONTENT])
        writer.flush()
        assert content(tmp_path) == CONTENT


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(direct.os, "pwrite", full)
    with opened(tmp_path) as descriptor:
        writer = DirectWriter(descriptor, 0)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            writer.write([CONTENT])
