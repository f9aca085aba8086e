"""Private files are whole and closed; locks have one holder."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from loopsy_core.errors import Busy, Misconfigured
from loopsy_core.home import create_private, lock_file, write_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_written_file_is_private_and_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_private(path, b"new")
    assert path.read_bytes() == b"new"
    assert _mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_created_file_is_private_and_never_replaces_anything(tmp_path: Path) -> None:
    path = tmp_path / "key"
    create_private(path, b"first")
    assert _mode(path) == 0o600
    with pytest.raises(FileExistsError):
        create_private(path, b"second")
    assert path.read_bytes() == b"first"
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        create_private(tmp_path / "link", b"third")


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_content_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "key"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(Misconfigured, match=r"cannot write .*key.*: No space left"):
        write_private(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    for write in (write_private, create_private):
        with pytest.raises(Misconfigured, match=r"cannot write .*missing"):
            write(tmp_path / "missing" / "key", b"x")
    with (
        pytest.raises(Misconfigured, match=r"cannot write .*missing"),
        lock_file(tmp_path / "missing" / "lock"),
    ):
        pass


def test_a_lock_has_one_holder_whom_the_error_names(tmp_path: Path) -> None:
    path = tmp_path / "node.lock"
    with lock_file(path):
        assert _mode(path) == 0o600
        with (
            pytest.raises(Busy, match=rf"node\.lock is held by process {os.getpid()};"),
            lock_file(path),
        ):
            pass
    with lock_file(path):
        pass


def test_a_lock_file_stays_and_names_nobody_when_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / "node.lock"
    with lock_file(path):
        pass
    assert path.read_bytes() == b""


def test_a_lock_is_released_when_the_block_raises(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), lock_file(tmp_path / "lock"):
        raise ZeroDivisionError
    with lock_file(tmp_path / "lock"):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "node.lock"
    hold = (
        "import sys, pathlib; from loopsy_core.home import lock_file\n"
        "with lock_file(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Busy, match=f"process {holder.pid};"), lock_file(path):
            pass
        holder.kill()
        holder.wait(timeout=30)
        # What it wrote is stale now, and believed by nobody.
        assert path.read_text() == f"{holder.pid}\n"
        with lock_file(path):
            assert path.read_text() == f"{os.getpid()}\n"


def test_nonsense_in_a_lock_file_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "node.lock"
    with lock_file(path):
        path.write_bytes(b"\xff\x1b[31m")
        with pytest.raises(Busy, match="held by another process"), lock_file(path):
            pass
