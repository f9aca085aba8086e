"""HTTP with one client, in memory: pieces, stalls, leaving, and what an app may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeAlias

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.kit.asgi import answer_by
from loopsy_core.kit.http import Http, HttpLimits, Unreadable

if TYPE_CHECKING:
    from trio.testing import MockClock

Message: TypeAlias = MutableMapping[str, object]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

LIMITS: Final = HttpLimits(patience=15.0, stall=20.0, goodbye=2.0)
GET: Final = b"GET /a%20b?c=d HTTP/1.1\r\nHost: x\r\n\r\n"


def post(body: bytes, *more: bytes) -> bytes:
    lines = [b"POST / HTTP/1.1", b"Host: x", b"Content-Length: %d" % len(body), *more, b"", body]
    return b"\r\n".join(lines)


def pair() -> tuple[trio.StapledStream, Http]:
    """Return a client's stream and the server's end of it, for which nothing is buffered."""
    client, server = trio.testing.lockstep_stream_pair()
    return client, Http(server, LIMITS)


async def said(client: trio.abc.Stream) -> bytes:
    """Return all that comes until the other side hangs up."""
    heard = b""
    while piece := await client.receive_some():
        heard += piece
    return heard


async def test_a_head_is_read_and_its_path_decoded() -> None:
    client, http = pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send_all, GET)
        head = await http.next_head()
    assert head is not None
    assert (head.method, head.path, head.raw_path, head.query) == ("GET", "/a b", b"/a%20b", b"c=d")
    assert await http.next_piece() is None


@given(st.binary(max_size=300), st.lists(st.integers(1, 50), max_size=30))
def test_a_body_is_read_whole_however_it_is_cut(body: bytes, cuts: list[int]) -> None:
    async def main() -> None:
        client, http = pair()
        data = post(body)

        async def speak() -> None:
            rest = data
            for cut in cuts:
                if rest[:cut]:
                    await client.send_all(rest[:cut])
                rest = rest[cut:]
            if rest:
                await client.send_all(rest)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(speak)
            head = await http.next_head()
            assert head is not None
            assert await http.read_body(head, 300) == body

    trio.run(main)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 40_000 + b"\r\n\r\n", 431),
    ],
)
async def test_what_is_no_request_is_not_read(data: bytes, status: int) -> None:
    client, http = pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send_all, data)
        with pytest.raises(Unreadable) as raised:
            await http.next_head()
        nursery.cancel_scope.cancel()
    assert raised.value.status == status


async def test_a_head_that_does_not_come_to_its_end_is_given_up(
    autojump_clock: MockClock,
) -> None:
    client, http = pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send_all, GET[:-2])
        began = trio.current_time()
        assert await http.next_head() is None
        assert trio.current_time() - began == pytest.approx(LIMITS.patience)


async def test_a_body_may_take_long_as_long_as_it_goes_on(autojump_clock: MockClock) -> None:
    client, http = pair()

    async def dawdle() -> None:
        await client.send_all(post(b"x" * 10)[:-10])
        for _ in range(10):
            await trio.sleep(LIMITS.patience * 0.9)
            await client.send_all(b"x")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(dawdle)
        assert await http.next_head() is not None
        pieces = [await http.next_piece() for _ in range(11)]
    assert pieces == [b"x"] * 10 + [None]


async def test_a_body_that_stops_coming_is_given_up(autojump_clock: MockClock) -> None:
    client, http = pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send_all, post(b"12345")[:-1])
        assert await http.next_head() is not None
        assert await http.next_piece() == b"1234"
        with pytest.raises(Unreadable) as raised:
            await http.next_piece()
    assert raised.value.status == 408


async def test_a_client_that_takes_nothing_is_given_up(autojump_clock: MockClock) -> None:
    client, http = pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send_all, GET)
        assert await http.next_head() is not None
    began = trio.current_time()
    with pytest.raises(trio.TooSlowError):
        await http.start(200, [])
    assert trio.current_time() - began == pytest.approx(LIMITS.stall)


async def test_a_refusal_is_heard_though_the_body_is_still_coming(
    autojump_clock: MockClock,
) -> None:
    client, http = pair()
    heard = b""

    async def speak() -> None:
        with suppress(trio.ClosedResourceError):
            await client.send_all(post(b"x" * 100_000))

    async def hear() -> None:
        nonlocal heard
        heard = await said(client)
        await client.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(speak)
        nursery.start_soon(hear)
        assert await http.next_head() is not None
        await http.refuse(413, [], b"too long")
        await http.stream.aclose()
    assert heard.startswith(b"HTTP/1.1 413 ")
    assert heard.endswith(b"too long")


# Apps.


async def answer(data: bytes, app: Callable[[Message, Receive, Send], Awaitable[None]]) -> bytes:
    """Have `app` answer what `data` asks, and return all that was said."""
    client, http = pair()
    heard = b""

    async def talk() -> None:
        nonlocal heard
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send_all, data)
            heard = await said(client)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(talk)
        while (head := await http.next_head()) is not None:
            assert await answer_by(app, http, head, client=None) is None
        await http.stream.aclose()
    return heard


async def test_an_app_is_given_the_body_as_it_comes_and_says_as_much_as_it_likes(
    autojump_clock: MockClock,
) -> None:
    async def echo(_scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        more: object = True
        while more:
            message = await receive()
            more = message["more_body"]
            part = {"type": "http.response.body", "body": message["body"], "more_body": more}
            await send(part)

    twice = post(b"hello") + post(b"world", b"Connection: close")
    heard = await answer(twice, echo)
    assert heard.count(b"HTTP/1.1 200 ") == 2
    assert heard.index(b"hello") < heard.index(b"world")


async def test_an_app_whose_client_leaves_is_cancelled() -> None:
    client, http = pair()
    cancelled = False

    async def wait(_scope: Message, receive: Receive, send: Send) -> None:
        nonlocal cancelled
        assert (await receive())["more_body"] is False
        await send({"type": "http.response.start", "status": 200, "headers": []})
        assert await receive() == {"type": "http.disconnect"}
        cancelled = True

    async with trio.open_nursery() as nursery:

        async def leave() -> None:
            await client.send_all(GET)
            await client.receive_some()
            await client.aclose()

        nursery.start_soon(leave)
        head = await http.next_head()
        assert head is not None
        await answer_by(wait, http, head, client=None)
    assert cancelled


async def test_an_app_whose_client_does_not_read_is_cancelled(autojump_clock: MockClock) -> None:
    client, http = pair()

    async def talk_on(_scope: Message, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})

    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send_all, GET)
        head = await http.next_head()
    assert head is not None
    problem = await answer_by(talk_on, http, head, client=None)
    assert isinstance(problem, trio.TooSlowError)


async def test_an_app_with_the_whole_body_goes_on_when_the_client_leaves(
    autojump_clock: MockClock,
) -> None:
    client, http = pair()
    done = False

    async def act(_scope: Message, receive: Receive, _send: Send) -> None:
        nonlocal done
        message = await receive()
        assert (message["body"], message["more_body"]) == (b"all", False)
        await client.aclose()
        await trio.sleep(100)
        done = True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send_all, post(b"all"))
        head = await http.next_head()
        assert head is not None
        body = await http.read_body(head, 100)
    assert await answer_by(act, http, head, client=None, body=body) is None
    assert done


async def test_what_an_app_raises_is_raised() -> None:
    client, http = pair()

    async def fail(_scope: Message, _receive: Receive, _send: Send) -> None:
        raise ValueError("a bug")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send_all, GET)
        head = await http.next_head()
    assert head is not None
    with pytest.raises(ValueError, match="a bug"):
        await answer_by(fail, http, head, client=None)
    assert not http.answered


async def test_a_client_that_would_like_to_be_told_so_is_told_to_go_on(
    autojump_clock: MockClock,
) -> None:
    async def take(_scope: Message, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            pass
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    request = post(b"x" * 10, b"Expect: 100-continue", b"Connection: close")
    heard = await answer(request, take)
    assert b"HTTP/1.1 204 " in heard


async def test_head_is_answered_without_a_body(autojump_clock: MockClock) -> None:
    async def say(_scope: Message, _receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"5")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"hello"})

    heard = await answer(GET.replace(b"GET", b"HEAD"), say)
    assert b"content-length: 5" in heard
    assert b"hello" not in heard
