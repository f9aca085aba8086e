"""What a viewer knows, against a model host that is cut off at any moment: nothing lost, ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.client import Viewing
from loopsy_core.client.viewing import MAX_UNCONFIRMED
from loopsy_core.errors import Busy, ProtocolViolation
from loopsy_core.wire import AttachSession, Picture, Resumed, Typed
from tests.play import bounded


def picture(offset: int, typed: int, epoch: str = "e1") -> Picture:
    return Picture(epoch, offset, typed, 80, 24, "", 0)


def resumed(offset: int, typed: int, epoch: str = "e1") -> Resumed:
    return Resumed(epoch, offset, typed, 80, 24, "")


class Host:
    """A model of one session: it prints the numbers 0, 1, 2 ... and keeps what was typed."""

    def __init__(self) -> None:
        self.output = bytearray()
        self.typed = bytearray()
        self.oldest = 0  # output before is kept no longer

    def attached(self, request: AttachSession) -> Resumed | Picture:
        assert request.typed <= len(self.typed), "nobody says more than it was told"
        if request.offset is not None and self.oldest <= request.offset:
            assert request.epoch == "e1"
            assert request.offset <= len(self.output)
            return resumed(request.offset, len(self.typed))
        return picture(len(self.output), len(self.typed))


class Connection:
    """Both directions of one attached call, each of which may lose its end when it is cut."""

    def __init__(self, host: Host, viewing: Viewing) -> None:
        self.host = host
        self.viewing = viewing
        self.first = host.attached(viewing.request(80, 24))
        self.to_host = bytearray()
        self.shown_to = self.first.offset
        self.to_host += viewing.began(self.first)

    def type(self, data: bytes) -> None:
        self.viewing.typed(data)
        self.to_host += data

    def arrive(self, most: int) -> None:
        self.host.typed += self.to_host[:most]
        del self.to_host[:most]

    def show(self, most: int) -> bytes:
        data = bytes(self.host.output[self.shown_to : self.shown_to + most])
        self.shown_to += len(data)
        self.viewing.shown(data)
        return data


amounts = st.integers(0, 40)
steps = st.one_of(
    st.tuples(st.sampled_from(["type", "print", "arrive", "show", "forget"]), amounts),
    st.tuples(st.sampled_from(["confirm", "cut", "spoil", "redraw"]), st.just(0)),
)


@given(st.lists(steps, max_size=80))
@bounded(400)
def test_every_byte_arrives_once_and_in_order_however_often_the_connection_is_cut(
    play: list[tuple[str, int]],
) -> None:
    host, viewing = Host(), Viewing("s")
    typed, shown, numbers = bytearray(), bytearray(), iter(range(10**6))

    def fresh(count: int) -> bytes:
        return bytes(next(numbers) % 251 for _ in range(count))

    def connect() -> Connection:
        connection = Connection(host, viewing)
        if isinstance(connection.first, Picture):
            shown[:] = host.output[: connection.first.offset]
        assert len(shown) == connection.first.offset, "the output goes on where it was"
        return connection

    connection = connect()
    for step, amount in [*play, ("cut", 0), ("arrive", 10**6), ("show", 10**6)]:
        match step:
            case "type":
                data = fresh(amount)
                typed += data
                connection.type(data)
            case "print":
                host.output += fresh(amount)
            case "arrive":
                connection.arrive(amount)
            case "show":
                shown += connection.show(amount)
            case "forget":
                host.oldest = min(host.oldest + amount, len(host.output))
            case "confirm":
                viewing.confirmed(Typed(len(host.typed)))
            case "spoil":
                viewing.spoiled()
            case "redraw":  # in the middle of the stream: it acknowledges, and no more
                viewing.began(picture(len(host.output), len(host.typed)))
                connection.shown_to = len(host.output)
                shown[:] = host.output
            case "cut":
                connection = connect()
        assert typed.startswith(host.typed)
        assert host.output.startswith(shown)

    assert host.typed == typed
    assert shown == host.output


def test_a_first_request_asks_for_a_picture_and_a_later_one_for_what_is_missing() -> None:
    viewing = Viewing("s", view_only=True, answers=True)
    first = viewing.request(80, 24)
    viewing.began(picture(1000, 0))
    viewing.shown(b"12345")
    viewing.typed(b"abc")
    viewing.confirmed(Typed(2))
    second = viewing.request(100, 30)

    assert (first.epoch, first.offset, first.typed) == (None, None, 0)
    assert (second.epoch, second.offset, second.typed) == ("e1", 1005, 2)
    assert (second.cols, second.rows) == (100, 30)
    assert first.viewer == second.viewer
    assert second.view_only
    assert second.answers
    assert Viewing("s").request(80, 24).viewer != first.viewer


def test_a_spoiled_screen_is_drawn_anew_once() -> None:
    viewing = Viewing("s")
    viewing.began(picture(10, 0))
    viewing.spoiled()
    assert viewing.request(80, 24).offset is None
    viewing.began(picture(20, 0))
    assert viewing.request(80, 24).offset == 20


def test_what_was_typed_into_another_life_of_the_session_is_not_typed_again() -> None:
    viewing = Viewing("s")
    viewing.began(picture(10, 0))
    viewing.typed(b"rm -rf build\r")

    assert viewing.began(picture(0, 0, epoch="e2")) == b""
    assert viewing.request(80, 24).typed == 0


@pytest.mark.parametrize("item", [resumed(11, 0), resumed(9, 0), resumed(10, 0, epoch="e2")])
def test_a_host_cannot_resume_from_where_we_never_were(item: Resumed) -> None:
    viewing = Viewing("s")
    viewing.began(picture(10, 0))
    with pytest.raises(ProtocolViolation, match="never were"):
        viewing.began(item)


@pytest.mark.parametrize("total", [0, 6])
def test_a_host_cannot_have_more_than_was_typed_nor_less_than_it_had(total: int) -> None:
    viewing = Viewing("s")
    viewing.began(picture(0, 0))
    viewing.typed(b"hello")
    viewing.confirmed(Typed(2))
    with pytest.raises(ProtocolViolation, match="never typed"):
        viewing.confirmed(Typed(total))


def test_what_nobody_takes_is_not_kept_without_end() -> None:
    viewing = Viewing("s")
    viewing.began(picture(0, 0))
    viewing.typed(bytes(MAX_UNCONFIRMED))
    with pytest.raises(Busy):
        viewing.typed(b"x")
    viewing.confirmed(Typed(1))
    viewing.typed(b"x")
    assert len(viewing.began(resumed(0, 1))) == MAX_UNCONFIRMED
