"""Somebody who swaps a folder for a symbolic link and back, as fast as can be."""

from __future__ import annotations

import shutil
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


@contextmanager
def swapping(folder: Path, target: Path) -> Generator[None]:
    """Make `folder` a link to `target` and a folder again, over and over, while the block lasts."""
    aside = folder.with_name("aside")
    stop = threading.Event()

    def swap() -> None:
        while not stop.wait(0.0002):  # in which others get their turn
            with suppress(OSError):
                folder.rename(aside)
                folder.symlink_to(target)
            if folder.is_symlink():
                folder.unlink()
            with suppress(OSError):
                aside.rename(folder)
            shutil.rmtree(aside, ignore_errors=True)  # if somebody made the folder anew meanwhile

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
