"""Each query of a program is answered once: by whose terminal was shown it, else the emulator."""

from __future__ import annotations

from loopsy_core.sessions.answering import MOST_HELD, Answering
from loopsy_core.sessions.audience import Audience
from loopsy_core.sessions.output import Place
from loopsy_core.sessions.viewer import Viewer
from loopsy_core.wire import AttachSession


class Stage:
    """A session without a program: whoever looks is moved by hand."""

    def __init__(self) -> None:
        self.audience = Audience()
        self.said = b""
        self.answering = Answering(self.audience, self._write)

    def _write(self, data: bytes) -> None:
        self.said += data

    def join(self, name: bytes, *, answers: bool = True) -> Viewer:
        viewer = Viewer(
            AttachSession(session="s", viewer=name.ljust(16), cols=80, rows=24, answers=answers)
        )
        self.answering.turn()
        self.audience.join(viewer.id, viewer)
        self.answering.settle()
        return viewer

    def draw(self, viewer: Viewer, offset: int) -> None:
        self.answering.turn()
        viewer.begin(Place(offset, 0), 0)
        self.answering.settle()

    def leave(self, viewer: Viewer) -> None:
        self.answering.turn()
        self.audience.leave(viewer.id, viewer)
        self.answering.settle()

    def claim(self, viewer: Viewer) -> None:
        self.answering.turn()
        self.audience.claim(viewer.id)
        self.answering.settle()


def test_with_nobody_there_the_emulator_answers_at_once() -> None:
    stage = Stage()
    stage.answering.answer(10, b"a")
    assert stage.said == b"a"
    stage.join(b"phone", answers=False)
    stage.answering.answer(20, b"b")
    assert stage.said == b"ab"


def test_what_stands_in_a_picture_the_emulator_answers_and_what_follows_the_terminal() -> None:
    stage = Stage()
    viewer = stage.join(b"terminal")
    stage.answering.answer(10, b"a")
    stage.answering.answer(20, b"b")
    assert stage.said == b"", "its picture may show either, none, or both"
    stage.draw(viewer, 10)
    assert stage.said == b"a"
    viewer.place.offset = 20
    stage.answering.answer(30, b"c")
    viewer.place.offset = 30
    stage.answering.settle()
    assert stage.said == b"a"


def test_a_terminal_that_is_behind_answers_later_unless_it_skips_the_query() -> None:
    stage = Stage()
    viewer = stage.join(b"terminal")
    stage.draw(viewer, 0)
    viewer.place.offset = 10
    stage.answering.answer(5, b"a")
    stage.answering.answer(20, b"b")
    assert stage.said == b""
    stage.draw(viewer, 30)
    assert stage.said == b"b"


def test_who_was_shown_a_query_answers_it_though_it_owns_no_more_when_the_emulator_speaks() -> None:
    stage = Stage()
    viewer = stage.join(b"terminal")
    stage.draw(viewer, 0)
    viewer.place.offset = 10
    phone = stage.join(b"phone", answers=False)
    stage.claim(phone)
    stage.answering.answer(10, b"a")
    assert stage.said == b""
    stage.answering.answer(20, b"b")
    assert stage.said == b"b"


def test_who_comes_again_without_answering_has_answered_what_it_was_shown() -> None:
    stage = Stage()
    viewer = stage.join(b"terminal")
    stage.draw(viewer, 0)
    viewer.place.offset = 10
    again = stage.join(b"terminal", answers=False)
    stage.leave(viewer)  # whose place was taken already
    stage.answering.answer(10, b"a")
    stage.draw(again, 15)
    stage.answering.answer(15, b"b")
    assert stage.said == b"b"


def test_who_leaves_before_it_was_shown_a_query_has_the_emulator_answer() -> None:
    stage = Stage()
    viewer = stage.join(b"terminal")
    stage.draw(viewer, 0)
    stage.answering.answer(10, b"a")
    assert stage.said == b""
    stage.leave(viewer)
    assert stage.said == b"a"


def test_who_resumes_answers_what_was_lost_on_the_way() -> None:
    stage = Stage()
    viewer = stage.join(b"terminal")
    stage.draw(viewer, 0)
    viewer.place.offset = 10
    again = stage.join(b"terminal")
    stage.draw(again, 5)
    again.place.offset = 10
    stage.answering.answer(10, b"a")
    assert stage.said == b""


def test_answers_come_in_their_order_and_do_not_wait_without_bound() -> None:
    stage = Stage()
    stage.join(b"terminal")
    for at in range(1, 5):
        stage.answering.answer(at, b"%d" % at * (MOST_HELD // 3))
    assert stage.said == b"1" * (MOST_HELD // 3)
