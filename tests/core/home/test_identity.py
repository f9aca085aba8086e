"""Keys and ids: one spelling each, and never overwritten."""

from __future__ import annotations

import base64
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.errors import BadRequest, Misconfigured, Refused
from loopsy_core.home import (
    Home,
    Identity,
    create_identity,
    default_name,
    is_name,
    load_identity,
    parse_peer_id,
    peer_id,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


@given(st.binary(min_size=32, max_size=32))
def test_every_key_has_an_id_that_leads_back_to_it(public: bytes) -> None:
    text = peer_id(public)
    assert len(text) == 52
    assert parse_peer_id(text) == public


@given(st.binary(min_size=32, max_size=32), st.data())
def test_no_second_text_means_the_same_key(public: bytes, data: st.DataObject) -> None:
    text = peer_id(public)
    place = data.draw(st.integers(0, 51))
    letter = data.draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
    changed = text[:place] + letter + text[place + 1 :]
    if changed == text:
        return
    try:
        assert parse_peer_id(changed) != public
    except BadRequest:
        assert place == 51  # the last letter has four bits that must be zero


@given(st.one_of(st.text(), st.text("abcdefgh234567=", min_size=50, max_size=57)))
def test_any_other_text_is_refused(text: str) -> None:
    try:
        assert peer_id(parse_peer_id(text)) == text
    except BadRequest as error:
        assert "52 characters" in error.message  # noqa: PT017 - a valid id may be drawn


@pytest.mark.parametrize("spoil", [str.upper, lambda text: text + "====", lambda text: text + "\n"])
def test_other_spellings_of_an_id_are_refused(spoil: type[str]) -> None:
    with pytest.raises(BadRequest):
        parse_peer_id(spoil(peer_id(bytes(range(32)))))


def test_a_key_of_another_size_has_no_id() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        peer_id(b"short")


def test_a_created_key_is_private_and_loads_again(home: Home) -> None:
    made = create_identity(home)
    assert stat.S_IMODE(home.identity.stat().st_mode) == 0o600
    identity = load_identity(home, "kai")
    assert identity.id == made
    assert identity.name == "kai"
    assert len(identity.private) == len(identity.public) == 32
    home.check()


def test_a_public_key_is_that_of_the_rfc(home: Home) -> None:
    # RFC 7748, section 6.1: Alice's keys.
    private = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    public = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    home.identity.write_bytes(base64.b64encode(private))
    identity = load_identity(home)
    assert (identity.private, identity.public) == (private, public)


def test_a_key_is_never_overwritten(home: Home) -> None:
    create_identity(home)
    before = home.identity.read_bytes()
    with pytest.raises(Refused, match="already"):
        create_identity(home)
    assert home.identity.read_bytes() == before


def test_an_identity_does_not_show_its_private_key() -> None:
    identity = Identity(b"p" * 32, b"q" * 32, "kai")
    assert "pppp" not in repr(identity)


def test_a_missing_key_says_how_to_make_one(home: Home) -> None:
    with pytest.raises(Misconfigured, match=r"no key at .*loopsy init"):
        load_identity(home)


@pytest.mark.parametrize(
    "content", [b"", b"hello", base64.b64encode(b"short"), b"A" * 5000, b"\xff" * 44, b"(" * 44]
)
def test_a_bad_key_is_named_but_not_shown(home: Home, content: bytes) -> None:
    home.identity.write_bytes(content)
    with pytest.raises(Misconfigured, match=r"identity\.key is not a key") as error:
        load_identity(home)
    assert content.decode("latin-1")[:5] not in error.value.message or not content


def test_a_key_that_cannot_be_read_is_named(home: Home) -> None:
    home.identity.mkdir()
    with pytest.raises(Misconfigured, match=r"cannot read the key .*identity\.key"):
        load_identity(home)


@pytest.mark.parametrize(
    ("hostname", "name"),
    [
        ("kai", "kai"),
        ("Kai.example.org", "kai"),
        ("Kais MacBook-Pro.local", "kais-macbook-pro"),
        ("--kai--", "kai"),
        ("", "node"),
        ("...", "node"),
        ("日本", "node"),
        ("a" * 80, "a" * 63),
    ],
)
def test_a_name_is_made_of_the_first_label(hostname: str, name: str) -> None:
    assert default_name(hostname) == name


@given(st.text())
def test_whatever_the_host_is_called_there_is_a_name_for_it(hostname: str) -> None:
    assert is_name(default_name(hostname))


def test_without_a_name_the_machine_gives_one(home: Home) -> None:
    create_identity(home)
    assert load_identity(home).name == default_name()


@pytest.mark.parametrize("text", ["", "-kai", ".kai", "a b", "a:b", "a/b", "a" * 64, "kai\n", "ü"])
def test_what_would_need_quotes_is_no_name(text: str) -> None:
    assert not is_name(text)


def test_this_room_loads_neither_crypto_nor_yaml_nor_trio() -> None:
    check = (
        "import sys, loopsy_core.home; assert not {'cryptography', 'yaml', 'trio'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
