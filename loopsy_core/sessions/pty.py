"""The near side of a pseudo terminal, as something trio can wait on."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import termios
from typing import Final

import trio

from loopsy_core.errors import Busy

__all__ = ["Pty", "open_pty"]

READ_SIZE: Final = 65_536
"""Bytes gathered per `read`. The kernel hands out at most 4 KiB at a time, so that one
wake-up, one append and one feed serve many of its pieces."""
SHORT: Final = 512
"""Bytes below which a piece is taken to be all there is: an echo need not wait for another look."""


def open_pty(cols: int, rows: int) -> tuple[Pty, int]:
    """Return a pty of this size and the descriptor of its far side, which the caller closes.

    Raises `Busy` when the machine has no more terminals or descriptors.
    """
    try:
        near, far = os.openpty()
    except OSError as error:
        raise Busy(f"no terminal is to be had: {error.strerror}") from None
    for fd in (near, far):
        os.set_inheritable(fd, False)
    os.set_blocking(near, False)
    modes = termios.tcgetattr(far)
    modes[0] |= getattr(termios, "IUTF8", 0x4000)  # erase whole characters, not bytes
    termios.tcsetattr(far, termios.TCSANOW, modes)
    pty = Pty(near)
    pty.resize(cols, rows)
    return pty, far


class Pty:
    """One task may read while another writes."""

    def __init__(self, fd: int) -> None:
        """Take over `fd`, a non-blocking pty master."""
        self._fd = fd
        self._buffer = bytearray(READ_SIZE)
        self._view = memoryview(self._buffer)

    async def read(self, most: int = READ_SIZE) -> bytes:
        """Wait for output and return what is there, up to about `most` bytes; b"" at its end.

        A checkpoint only if it has to wait; cancelled, it has lost nothing.
        """
        while True:
            data = self.read_nowait(most)
            if data is not None:
                return data
            await trio.lowlevel.wait_readable(self._fd)

    def read_nowait(self, most: int = READ_SIZE) -> bytes | None:
        """Return output that is there, b"" at its end, None if there is none now."""
        if self._fd < 0:
            raise trio.ClosedResourceError
        size = 0
        while size < min(most, READ_SIZE):
            try:
                count = os.readv(self._fd, [self._view[size:]])
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.EIO:  # Linux says so when nobody holds the far side
                    raise
                count = 0
            if not count:
                return bytes(self._view[:size])
            size += count
            if count < SHORT:
                break
        return bytes(self._view[:size]) if size else None

    def write_some_nowait(self, data: memoryview) -> int:
        """Write as much of `data` as fits now and return how much: 0 when nothing does.

        Returns the whole length when nobody reads any more.
        """
        if self._fd < 0:
            raise trio.ClosedResourceError
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return len(data)

    async def wait_writable(self) -> None:
        """Wait until something fits; raises `trio.ClosedResourceError` when it is closed."""
        if self._fd < 0:
            raise trio.ClosedResourceError
        await trio.lowlevel.wait_writable(self._fd)

    def write_nowait(self, data: bytes) -> None:
        """Write what fits and drop the rest."""
        with contextlib.suppress(OSError):
            os.write(self._fd, data)

    @property
    def foreground_group(self) -> int | None:
        """The process group in front on the terminal, None if there is none."""
        try:
            group = os.tcgetpgrp(self._fd)
        except OSError:
            return None
        return group if group > 1 else None

    def resize(self, cols: int, rows: int) -> None:
        """Set the size in cells; the program in front gets SIGWINCH."""
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def close(self) -> None:
        """Hang up: whoever still holds the far side gets SIGHUP."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            trio.lowlevel.notify_closing(fd)
            os.close(fd)
