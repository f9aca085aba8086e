"""Who may in by HTTP, decided by the head alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.kit.http import Head
from loopsy_core.node.http.guard import Guard

KEY = "0123456789abcdef" * 4
PORT = 19532
HOST = b"127.0.0.1:19532"
BEARER = b"Bearer " + KEY.encode()


def head(
    *headers: tuple[bytes, bytes], target: bytes = b"/api/v1/health", method: str = "GET"
) -> Head:
    return Head(method, target, target.decode("latin-1"), target, b"", "1.1", list(headers))


def verdict(given: Head, address: str = "127.0.0.1", port: int = PORT) -> tuple[int, int] | None:
    refusal = Guard(KEY, address, port).check(given)
    return None if refusal is None else (refusal.status, refusal.code)


@pytest.mark.parametrize("host", [HOST, b"localhost:19532", b"LOCALHOST:19532", b"[::1]:19532"])
def test_whoever_shows_the_key_and_means_this_door_may_in(host: bytes) -> None:
    assert verdict(head((b"authorization", BEARER), (b"host", host))) is None
    same = (b"origin", b"http://" + host)
    assert verdict(head((b"authorization", BEARER), (b"host", host), same)) is None


@pytest.mark.parametrize("scheme", [b"bearer", b"BEARER"])
def test_the_scheme_is_not_a_matter_of_case(scheme: bytes) -> None:
    shown = scheme + b"  " + KEY.encode()
    assert verdict(head((b"authorization", shown), (b"host", HOST))) is None


def test_without_a_key_nobody_may_in() -> None:
    assert verdict(head((b"host", HOST))) == (401, 1001)


@pytest.mark.parametrize(
    "shown",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Basic " + KEY.encode(),
        KEY.encode(),
        b"Bearer " + KEY[:-1].encode(),
        b"Bearer " + KEY.encode() + b"0",
        b"Bearer " + KEY.upper().encode(),
        b"Bearer \xff\xfe",
        b"Bearer " + KEY.encode() + b", Bearer " + KEY.encode(),
    ],
)
def test_with_another_key_nobody_may_in(shown: bytes) -> None:
    assert verdict(head((b"authorization", shown), (b"host", HOST))) == (401, 1002)


def test_two_keys_are_none() -> None:
    two = [(b"authorization", BEARER), (b"authorization", BEARER), (b"host", HOST)]
    assert verdict(head(*two)) == (401, 1002)


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example",
        b"evil.example:19532",
        b"127.0.0.1",
        b"127.0.0.1:80",
        b"127.0.0.1:19533",
        b"127.0.0.1.evil.example:19532",
        b"localhost.:19532",
        b"127.1:19532",
        b"0.0.0.0:19532",
        b"user@127.0.0.1:19532",
        b"",
        b"\xff",
    ],
)
def test_a_page_that_took_us_for_its_own_server_may_not_in(host: bytes) -> None:
    assert verdict(head((b"authorization", BEARER), (b"host", host))) == (403, 1004)


def test_who_names_no_host_may_not_in() -> None:
    assert verdict(head((b"authorization", BEARER))) == (403, 1004)


@pytest.mark.parametrize(
    "origin",
    [
        b"null",
        b"http://evil.example",
        b"https://127.0.0.1:19532",
        b"http://127.0.0.1",
        b"",
        b"\xff",
    ],
)
def test_a_page_of_another_site_may_not_in(origin: bytes) -> None:
    headers = [(b"authorization", BEARER), (b"host", HOST), (b"origin", origin)]
    assert verdict(head(*headers)) == (403, 1005)


def test_a_whole_url_is_no_path() -> None:
    whole = head((b"authorization", BEARER), (b"host", HOST), target=b"http://127.0.0.1:19532/x")
    assert verdict(whole) == (400, 1004)


def test_on_port_80_the_host_need_not_name_it() -> None:
    assert verdict(head((b"authorization", BEARER), (b"host", b"localhost")), port=80) is None


def test_another_address_of_loopback_is_known_by_its_name() -> None:
    headers = (b"authorization", BEARER), (b"host", b"127.0.0.9:19532")
    assert verdict(head(*headers), address="127.0.0.9") is None
    assert verdict(head(*headers)) == (403, 1004)


@given(
    target=st.binary(max_size=60).map(lambda raw: b"/" + raw),
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "X"]),
    shown=st.none() | st.binary(max_size=80) | st.just(b"Bearer " + KEY[:-1].encode()),
    more=st.lists(
        st.tuples(
            st.sampled_from([b"host", b"origin", b"x-forwarded-for", b"cookie", b"x-api-key"]),
            st.sampled_from([HOST, b"127.0.0.1", KEY.encode(), BEARER, b"localhost:19532"]),
        ),
        max_size=5,
    ),
)
def test_no_path_method_or_other_header_stands_for_the_key(
    target: bytes, method: str, shown: bytes | None, more: list[tuple[bytes, bytes]]
) -> None:
    headers = [*more, *([] if shown is None else [(b"authorization", shown)])]
    found = verdict(head(*headers, target=target, method=method))
    assert found in {(401, 1001), (401, 1002)}
