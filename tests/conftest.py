"""What holds for every test: spawned processes find the project and end, errors are not logged."""

from __future__ import annotations

import logging
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.world import end_holder, make_home

if TYPE_CHECKING:
    from collections.abc import Generator

    from loopsy_core.home import Home

ROOT: Final = Path(__file__).parents[1]
OURS: Final = "loopsy"
"""How the names of our loggers begin."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "logs_errors: an error of ours is logged, and meant to be")
    # Who runs this in the background of a script has SIGINT ignored, and so would have whatever
    # is started here to be sent Ctrl-C.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_error_is_logged(
    caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> Generator[None]:
    yield
    if request.node.get_closest_marker("logs_errors") is not None:
        return
    errors = [
        record
        for record in caplog.get_records("call")
        if record.levelno >= logging.ERROR and record.name.startswith(OURS)
    ]
    assert not errors, "\n".join(record.getMessage() for record in errors)


@pytest.fixture(autouse=True, scope="session")
def where_processes_find_us() -> Generator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        # They are many: each would compile all of us anew, which takes half of its start.
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        yield


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Home]:
    """A home with a key; whatever process of ours holds it at the end of the test is ended."""
    monkeypatch.setenv("HOME", str(tmp_path))
    home = make_home(tmp_path / "home")
    yield home
    for lock in (home.node_lock, home.host_lock):
        end_holder(lock)
