"""Pairing links and keys: the code is in no link, and nothing odd is taken for a link."""

from __future__ import annotations

from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.errors import BadRequest
from loopsy_core.wire import PairLink, offer_id, pairing_key
from tests.play import bounded

SECRET = bytes(range(16))
TEXT = f"https://relay.example/app#1,tok.en-_,{'a' * 52},AAECAwQFBgcICQoLDA0ODw"

hosts = st.from_regex(r"[a-z0-9.-]{1,30}(:[0-9]{1,5})?(/[a-z]{1,5})?", fullmatch=True)
links = st.builds(
    PairLink,
    relay=st.builds(
        lambda scheme, host: f"{scheme}://{host}", st.sampled_from(["http", "https"]), hosts
    ),
    token=st.from_regex(r"[A-Za-z0-9_.-]{1,512}", fullmatch=True),
    node=st.from_regex(r"[a-z2-7]{52}", fullmatch=True),
    secret=st.binary(min_size=16, max_size=16),
)


@bounded(100)
@given(links)
def test_a_link_that_is_written_can_be_read(link: PairLink) -> None:
    assert PairLink.parse(str(link)) == link
    assert PairLink.parse(f"  {link}\n") == link


def test_a_link_is_read_as_the_protocol_writes_it() -> None:
    assert PairLink.parse(TEXT) == PairLink("https://relay.example", "tok.en-_", "a" * 52, SECRET)


def test_everything_secret_stands_behind_the_hash() -> None:
    before, _, fragment = TEXT.partition("#")
    assert before == "https://relay.example/app"
    assert urlsafe_b64encode(SECRET).rstrip(b"=").decode() in fragment


def test_a_link_keeps_its_secrets_out_of_logs() -> None:
    assert "tok.en" not in repr(PairLink.parse(TEXT))
    assert repr(SECRET) not in repr(PairLink.parse(TEXT))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        TEXT.replace("https", "ftp"),
        TEXT.replace("https", "javascript"),
        TEXT.replace("https://", "//"),
        TEXT.replace("relay.example", ""),
        TEXT.replace("relay.example", "relay example"),
        TEXT.replace("relay.example", "relay.example?x=1"),
        TEXT.replace("/app#", "#"),
        TEXT.replace("/app#", "/app?"),
        TEXT.replace("/app#", "/app/#"),
        TEXT.replace("#1,", "#2,"),
        TEXT.replace("#1,", "#"),
        TEXT.replace("tok.en-_", ""),
        TEXT.replace("tok.en-_", "x" * 513),
        TEXT.replace("tok.en-_", "to,ken"),
        TEXT.replace("tok.en-_", "tökén"),
        TEXT.replace("a" * 52, "a" * 51),
        TEXT.replace("a" * 52, "a" * 53),
        TEXT.replace("a" * 52, "A" * 52),
        TEXT.replace("a" * 52, "1" * 52),
        TEXT[:-1],
        TEXT + "A",
        TEXT + "==",
        TEXT + ",more",
        TEXT + "\nmore",
        f"{TEXT} {TEXT}",
    ],
)
def test_an_odd_link_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="pairing link"):
        PairLink.parse(text)


@bounded(300)
@given(
    st.text(max_size=100) | st.integers(0, len(TEXT) - 1).map(lambda at: TEXT[:at] + TEXT[at + 1 :])
)
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        link = PairLink.parse(text)
    except BadRequest:
        return
    assert len(link.secret) == 16


@bounded(100)
@given(st.binary(min_size=16, max_size=16), st.from_regex(r"[0-9]{4}", fullmatch=True))
def test_keys_depend_on_secret_and_code(secret: bytes, code: str) -> None:
    key = pairing_key(secret, code)
    other_code = f"{(int(code) + 1) % 10_000:04}"
    other_secret = bytes([secret[0] ^ 1]) + secret[1:]
    keys = {key, pairing_key(secret, other_code), pairing_key(other_secret, code)}
    assert len(keys) == 3
    assert {len(each) for each in keys} == {32}
    assert offer_id(secret) != offer_id(other_secret)
    assert offer_id(secret) not in key


@pytest.mark.parametrize(
    "code",
    [
        "",
        "1",
        "123",
        "12345",
        "12 4",
        " 1234",
        "1234\n",
        "+123",
        "12a4",
        "\uff11\uff12\uff13\uff14",  # digits, but of other scripts
        "\u0660\u0661\u0662\u0663",
    ],
)
def test_what_is_no_code_of_four_digits_is_refused(code: str) -> None:
    with pytest.raises(BadRequest, match="4 digits"):
        pairing_key(SECRET, code)
