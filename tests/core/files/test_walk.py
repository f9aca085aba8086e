"""What there is to send comes in a fixed order, and a path says how far somebody was."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.files import Confinement, find_sources
from loopsy_core.files.symlinks import stays_inside
from loopsy_core.files.walk import OpenFile, sizes, walk
from loopsy_core.wire.transfer import SMALL, FolderEnds, LinkThere, SmallFile
from tests.play import bounded

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def sources(tmp_path: Path) -> list[bytes]:
    """Paths of files and folders whose names are easily brought into a wrong order."""
    for name in (
        "a",
        "b",
        "dir/a-b",
        "dir/a/1",
        "dir/a/2",
        "dir/b/1",
        "dir/c",
        "dir-x/1",
        "dir0/1",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(SMALL + 1) if name == "dir/c" else b"x")
    (tmp_path / "dir" / "link").symlink_to("a/1")
    (tmp_path / "dir" / "empty").mkdir()
    return [os.fsencode(tmp_path / name) for name in ("dir0", "dir", "b", "a", "dir-x")]


def walked(paths: list[bytes], after: bytes | None = None) -> tuple[list[bytes], list[bytes]]:
    """Return the paths of the files and links, and those of the folders, as they come."""
    files: list[bytes] = []
    folders: list[bytes] = []
    with Confinement(None, [], base=b"/") as confinement:
        places = find_sources(confinement, paths)
        assert sum(1 for _ in sizes(places)) == 9
        for entry in walk(places, after):
            if isinstance(entry, OpenFile):
                os.close(entry.descriptor)
            assert isinstance(entry, OpenFile | SmallFile | LinkThere | FolderEnds), entry
            (folders if isinstance(entry, FolderEnds) else files).append(entry.path)
    return files, folders


def test_the_order_is_that_of_the_names_and_a_folder_ends_behind_what_is_in_it(
    sources: list[bytes],
) -> None:
    files, folders = walked(sources)
    assert files == sorted(files, key=lambda path: path.split(b"/"))
    assert len(files) == 10
    assert folders == [b"dir/a", b"dir/b", b"dir/empty", b"dir", b"dir-x", b"dir0"]


def test_after_any_path_exactly_the_rest_comes(sources: list[bytes]) -> None:
    files, folders = walked(sources)
    for number, path in enumerate(files):
        rest, ending = walked(sources, after=path)
        assert rest == files[number + 1 :]
        assert ending == folders[len(folders) - len(ending) :]  # none is left out
    assert walked(sources, after=b"zzz") == ([], [])
    assert walked(sources, after=b"") == (files, folders)


names = st.sampled_from([b"..", b".", b"", b"a", b"b"])


@bounded(500)
@given(st.lists(st.just(b"d"), min_size=1, max_size=5), st.lists(names, min_size=1, max_size=8))
def test_a_link_that_is_let_through_stays_inside_whatever_other_links_there_are(
    way: list[bytes], steps: list[bytes]
) -> None:
    target = b"/".join(steps)
    if not stays_inside(way, target):
        return
    # The worst case: each name is a link to the folder that is sent itself.
    depth = len(way) - 2
    for step in steps:
        if step == b"..":
            depth -= 1
        elif step not in (b".", b""):
            depth = 0
        assert depth >= 0
    assert not target.startswith(b"/")
