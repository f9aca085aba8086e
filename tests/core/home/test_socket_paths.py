"""Sockets work at any depth."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from loopsy_core.errors import Misconfigured
from loopsy_core.home import socket_address

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["short", "x" * 200, "ü" * 60])
def test_a_socket_can_be_bound_and_reached_at_any_depth(tmp_path: Path, name: str) -> None:
    if sys.platform != "linux" and name != "short":
        pytest.skip("long paths need Linux")
    path = tmp_path / name / "node.sock"
    path.parent.mkdir()
    before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    with (
        socket.socket(socket.AF_UNIX) as server,
        socket.socket(socket.AF_UNIX) as client,
    ):
        with socket_address(path) as address:
            server.bind(address)
        assert path.is_socket()
        server.listen()
        with socket_address(path) as address:
            client.connect(address)
    if sys.platform == "linux":
        assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(sys.platform != "linux", reason="the limit differs")
@pytest.mark.parametrize(("size", "direct"), [(107, True), (108, False)])
def test_the_path_itself_is_used_up_to_the_very_limit(
    tmp_path: Path, size: int, direct: bool
) -> None:
    path = tmp_path / ("n" * (size - len(str(tmp_path)) - 1))
    with socket_address(path) as address, socket.socket(socket.AF_UNIX) as server:
        assert (address == str(path)) == direct
        server.bind(address)
    assert path.is_socket()


def test_a_long_path_elsewhere_is_an_error_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with (
        pytest.raises(Misconfigured, match="shorter path with --home"),
        socket_address(tmp_path / ("x" * 200)),
    ):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="only there a folder is opened")
def test_a_long_folder_that_is_missing_is_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), socket_address(tmp_path / ("x" * 200) / "node.sock"):
        pass
