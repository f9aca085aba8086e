"""Fixtures of the command line's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.command_line import CommandLine

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


@pytest.fixture
def loopsy(tmp_path: Path) -> Generator[CommandLine]:
    """The command line on a home that does not exist yet."""
    command_line = CommandLine(tmp_path)
    yield command_line
    command_line.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Generator[CommandLine]:
    """The command line where a daemon runs, for all tests of a file that change nothing there."""
    command_line = CommandLine(tmp_path_factory.mktemp("shared"))
    command_line.say("start")
    yield command_line
    command_line.close()
