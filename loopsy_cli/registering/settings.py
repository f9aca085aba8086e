"""The settings files of others: read, shown as a difference, and replaced whole."""

from __future__ import annotations

import difflib
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from loopsy_core.errors import Misconfigured

__all__ = ["difference", "read_text", "write_text"]

MOST_BYTES: Final = 32 << 20
"""Claude Code keeps its history in its settings, and it grows to some megabytes."""


def read_text(path: Path) -> str:
    """Return what is in `path`, "" if it is not there; keeps each end of a line as it is."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise Misconfigured(f"{path} is larger than {MOST_BYTES >> 20} MiB; add it by hand")
        return data.decode("utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        raise Misconfigured(f"{path} is not UTF-8; add it by hand") from None
    except OSError as error:
        raise Misconfigured(f"cannot read {path}: {error.strerror}") from None


def write_text(path: Path, text: str) -> None:
    """Replace what is in `path`, whole or not at all, with the permissions that it has.

    A symbolic link stays one: people keep such files elsewhere. A file that its owner may not write
    is left alone: somebody else keeps it, or nobody shall.
    """
    target = Path(os.path.realpath(path))
    beside = target.with_name(f".{target.name}.{os.urandom(6).hex()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = 0o600
        with suppress(FileNotFoundError):
            mode = stat.S_IMODE(target.stat().st_mode)
        if not mode & stat.S_IWUSR:
            raise Misconfigured(f"{path} is read-only; make it writable, or add it by hand")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with open(descriptor, "wb") as file:
                os.fchmod(descriptor, mode)
                file.write(text.encode("utf-8"))
                file.flush()
                os.fsync(descriptor)
            os.replace(beside, target)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Misconfigured(f"cannot write {path}: {error.strerror}") from None


def difference(path: Path, before: str, after: str) -> str:
    """Return what would change in `path`, as `diff -u` shows it."""
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), str(path), str(path), lineterm=""
    )
    return "\n".join(lines)
