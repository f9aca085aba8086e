"""Files that nobody else may read: written whole or not at all, and locks that die with us.

All of it blocks on the disk for a moment: from a task, call it through `trio.to_thread.run_sync`,
unless it runs once at start.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from loopsy_core.errors import Busy, Misconfigured

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

__all__ = ["create_private", "lock_file", "write_private"]

# Characters of a process id in a lock file; more is not one of ours.
_MOST_PID: Final = 20


def create_private(path: Path, data: bytes) -> None:
    """Make the file `path` (mode 0600) with `data`, on disk when this returns.

    Raises `FileExistsError` when there is anything of that name, which is left alone, and
    `Misconfigured` when it cannot be written; then nothing is left behind.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(path)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _cannot_write(path, error) from error
        raise


def write_private(path: Path, data: bytes) -> None:
    """Make or replace the file `path` (mode 0600) with `data`, on disk when this returns.

    Whoever reads it meanwhile, and whoever comes after a crash, finds the old content or the
    new, whole. Raises `Misconfigured` when it cannot be written; then the old content stays.
    """
    # Beside the file, because a rename is atomic only within one file system.
    beside = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
    create_private(beside, data)
    try:
        os.replace(beside, path)
        _sync_folder(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise _cannot_write(path, error) from error


@contextmanager
def lock_file(path: Path) -> Generator[None]:
    """Hold the lock `path` (mode 0600) for as long as the block lasts.

    Raises `Busy`, with the process id of the holder, when another process (or another block of
    this one) holds it, and `Misconfigured` when the file cannot be opened. However the process
    ends, the kernel lets go; the id in the file is for messages only.

    The file stays. If the holder deleted it, a process that had just opened it would get a lock
    on a file without a name, while the next one locks a new file: two holders.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"{path} is held by {_holder(descriptor)}; stop that one first") from None
        except OSError as error:
            raise Misconfigured(
                f"cannot lock {path}: {error.strerror}; a home must be on a local disk"
            ) from error
        _note_holder(descriptor, path, str(os.getpid()))
        try:
            yield
        finally:
            # Nobody reads a name that is wrong from now on; a full disk must not matter here.
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    """Name the holder, if it has got as far as writing down its process id."""
    text = os.pread(descriptor, _MOST_PID, 0).decode("ascii", "replace").strip()
    return f"process {text}" if text.isdigit() else "another process"


def _note_holder(descriptor: int, path: Path, holder: str) -> None:
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{holder}\n".encode("ascii"), 0)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _sync_folder(path: Path) -> None:
    """Bring a new name to the disk, which syncing the file alone does not promise."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_write(path: Path, error: OSError) -> Misconfigured:
    return Misconfigured(f"cannot write {path}: {error.strerror or error}")
