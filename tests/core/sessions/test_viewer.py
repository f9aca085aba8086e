"""One viewer's place in the output, and when it may be shown something at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import msgspec

from loopsy_core.sessions.output import Place
from loopsy_core.sessions.pacing import SLOW, SLOW_WINDOW, Pacing
from loopsy_core.sessions.viewer import Viewer
from loopsy_core.wire import WINDOW, AttachSession, Viewers

if TYPE_CHECKING:
    from loopsy_core.links import Asked


class Line:
    """Stands for the call by which a viewer is shown a session."""

    def __init__(self) -> None:
        self.room = 1000
        self.sent = b""

    def send_nowait(self, data: bytes) -> None:
        self.sent += data


def waiting() -> tuple[Viewer, Line]:
    viewer = Viewer(AttachSession(session="s", viewer=bytes(16), cols=80, rows=24, name="desk"))
    viewer.begin(Place(100, 1), 0)
    line = Line()
    viewer.waiting = cast("Asked", line)
    return viewer, line


def test_a_viewer_that_waits_for_output_is_shown_it_at_once() -> None:
    viewer, line = waiting()
    assert viewer.show_now(b"one", Place(100, 1))
    assert viewer.show_now(b"two", Place(103, 1))
    assert line.sent == b"onetwo"
    assert viewer.place == Place(106, 1)


def test_a_viewer_that_has_caught_up_is_in_no_hurry_any_more() -> None:
    viewer, _ = waiting()
    viewer.hurry = True
    assert not viewer.show_now(b"two", Place(103, 1))
    assert viewer.hurry, "for it has not"
    assert viewer.show_now(b"one", Place(100, 1))
    assert not viewer.hurry


def test_nothing_is_shown_before_what_came_before_it() -> None:
    viewer, line = waiting()
    assert not viewer.show_now(bytes(1001), Place(100, 1)), "there is no room for it"
    assert not viewer.show_now(b"small", Place(1101, 1)), "although there is room for this"
    assert line.sent == b""
    assert viewer.place == Place(100, 1)


def test_nothing_is_shown_before_what_the_viewer_must_be_told_first() -> None:
    viewer, line = waiting()
    assert not viewer.show_now(b"x", Place(100, 2)), "the size has changed before it"
    viewer.outdated = True
    assert not viewer.show_now(b"x", Place(100, 1))
    viewer, line = waiting()
    viewer.note_viewers(Viewers(["desk", "phone"], owner=True))
    assert not viewer.show_now(b"x", Place(100, 1))
    viewer, line = waiting()
    viewer.note_typed(1, tell=True)
    assert not viewer.show_now(b"x", Place(100, 1))
    assert line.sent == b""


def test_nothing_is_shown_at_once_to_a_viewer_that_is_busy() -> None:
    viewer, _ = waiting()
    viewer.waiting = None
    assert not viewer.show_now(b"x", Place(100, 1))


def test_a_terminal_answers_only_what_it_is_shown() -> None:
    asked = AttachSession(session="s", viewer=bytes(16), cols=80, rows=24, answers=True)
    viewer = Viewer(asked)
    assert viewer.answers_from is None, "what is printed before its picture is drawn it never sees"
    viewer.begin(Place(100, 1), 0)
    assert viewer.answers_from == 100
    onlooker = Viewer(msgspec.structs.replace(asked, view_only=True))
    onlooker.begin(Place(100, 1), 0)
    assert onlooker.answers_from is None


def test_a_slow_viewer_is_sent_less_at_once() -> None:
    pacing = Pacing()
    pacing.waited(0, 10.0)
    pacing.waited(WINDOW // 4, 10.0 + WINDOW / 4 / (SLOW / 2))
    assert pacing.held_back == WINDOW - SLOW_WINDOW
    assert WINDOW // 4 < SLOW_WINDOW < WINDOW, "else its credit would never come"


def test_a_viewer_that_got_faster_is_sent_all_again() -> None:
    pacing = Pacing()
    pacing.waited(0, 10.0)
    pacing.waited(1000, 11.0)
    assert pacing.held_back
    pacing.waited(1000 + SLOW, 11.5)
    assert not pacing.held_back


def test_a_viewer_is_not_slow_because_there_was_nothing_to_show() -> None:
    pacing = Pacing()
    pacing.waited(0, 10.0)
    pacing.idle()
    pacing.waited(WINDOW // 4, 1000.0)
    assert not pacing.held_back
