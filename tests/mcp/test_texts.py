"""What models read and write: output as text, cut in its middle; keys; patterns."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_core.errors import BadRequest
from loopsy_mcp.jobs import HEAD, TAIL, Kept
from loopsy_mcp.keys import bytes_of
from loopsy_mcp.pattern import Pattern
from loopsy_mcp.plain import PlainText, cut, cut_off, left_over, plain, readable

TERMINAL = (
    b"\x1b]0;title\x07\x1b[1;32mok\x1b[0m \xc3\xa9\xe2\x9c\x93\r\n"
    b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\ \x1b(B\x1b[?2004h$ \x08\r\nend\r"
)


@given(st.lists(st.integers(0, len(TERMINAL)), max_size=12))
def test_terminal_output_is_the_same_text_however_it_is_cut(cuts: list[int]) -> None:
    whole = PlainText()
    expected = whole.add(TERMINAL) + whole.add(b"\n")
    text, pieces = "", PlainText()
    at = 0
    for end in [*sorted(cuts), len(TERMINAL)]:
        text += pieces.add(TERMINAL[at:end])
        at = end
    assert text + pieces.add(b"\n") == expected == "ok é✓\nlink $ \nend\n"


@given(st.binary(max_size=300), st.integers(0, 300))
def test_a_copy_goes_on_where_the_original_stands(data: bytes, at: int) -> None:
    original = PlainText()
    original.add(data[:at])
    assert original.copy().add(data[at:]) == original.add(data[at:])


@given(st.binary(max_size=500))
def test_no_output_becomes_escapes_or_control_characters(data: bytes) -> None:
    for text in (plain(data), readable(data), PlainText().add(data)):
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)


def test_hostile_output_costs_no_more_than_friendly() -> None:
    began = time.process_time()
    for hostile in (b"\x1b]" * 200_000, b"\x1b[" + b"1;" * 200_000, b"\x1b[1;\x1b" * 100_000):
        pieces = PlainText()
        for at in range(0, len(hostile), 16_384):
            pieces.add(hostile[at : at + 16_384])
        plain(hostile)
    assert time.process_time() - began < 5


def test_a_line_that_was_written_over_is_what_it_became() -> None:
    assert plain(b"10%\r50%\r100%\r\ndone\r\n") == "100%\ndone\n"


@given(st.text(max_size=30), st.integers(0, 99), st.integers(0, 99))
def test_a_text_that_is_cut_by_bytes_is_cut_between_characters(
    text: str, start: int, end: int
) -> None:
    data = text.encode()
    head, tail = data[:end], data[start:]
    shown = head[: len(head) - cut_off(head)].decode()
    assert text.startswith(shown)
    assert len(head) - len(shown.encode()) < 4
    assert text.endswith(tail[left_over(tail) :].decode())


@given(st.binary(min_size=10))
def test_what_is_no_text_is_not_taken_for_characters_that_are_cut(data: bytes) -> None:
    assert cut_off(data) < 4
    assert left_over(data) < 4


def test_binary_output_is_told_of_rather_than_shown() -> None:
    assert readable(bytes(range(256)) * 10).startswith("[2560 bytes that are no text")
    assert readable("Grüße ✓\n".encode()) == "Grüße ✓\n"


@given(st.text(max_size=300), st.integers(10, 200))
def test_a_cut_text_keeps_its_beginning_and_its_end(text: str, most: int) -> None:
    shown = cut(text, most, "hint")
    if len(text) <= most:
        assert shown == text
    else:
        assert shown.startswith(text[: most // 3])
        assert shown.endswith(text[-(most - most // 3) :])
        assert f"{len(text) - most} characters left out; hint" in shown


@pytest.mark.parametrize(
    ("keys", "typed"),
    [
        ("make<Enter>", b"make\r"),
        ("<C-c><c-D>", b"\x03\x04"),
        ("<A-x><M-Up>", b"\x1bx\x1b\x1b[A"),
        ("a <lt> b < c", b"a < b < c"),
        ("<Esc>:wq<CR>", b"\x1b:wq\r"),
        ("<S-Tab><F12><C-Space>", b"\x1b[Z\x1b[24~\0"),
        ("é", "é".encode()),
    ],
)
def test_keys_are_what_a_terminal_sends(keys: str, typed: bytes) -> None:
    assert bytes_of(keys) == typed


@pytest.mark.parametrize("keys", ["<Foo>", "<C-%>", "<html>", "<A-Foo>"])
def test_a_key_that_there_is_not_is_told_with_those_there_are(keys: str) -> None:
    with pytest.raises(BadRequest, match="<Enter>"):
        bytes_of(keys)


def test_a_pattern_that_would_backtrack_for_ever_ends_at_once() -> None:
    began = time.process_time()
    assert Pattern(r"(a+)+$|(a|aa)+b").search("a" * 60_000 + "!") is None
    assert time.process_time() - began < 2


def test_patterns_match_at_every_line() -> None:
    found = Pattern(r"^(PASS|FAIL): (\w+)$").search("x\nFAIL: io\ny")
    assert found is not None
    assert found.groups() == ("FAIL", "io")


@pytest.mark.parametrize("pattern", ["(", "a(?=b)", r"(a)\1", "x" * 2000])
def test_a_pattern_that_cannot_be_used_is_told_why(pattern: str) -> None:
    with pytest.raises(BadRequest, match="pattern"):
        Pattern(pattern)


@given(st.lists(st.integers(0, 400_000), max_size=30), st.integers(0, 7_000_000))
def test_an_output_keeps_its_beginning_and_its_end_in_bounded_memory(
    sizes: list[int], offset: int
) -> None:
    kept = Kept()
    for size in sizes:
        kept.add(bytes(size))
    data, at = kept.read(offset, 1000)
    assert kept.total == sum(sizes)
    assert at >= min(offset, kept.total)
    assert len(data) <= 1000
    if offset < min(kept.total, HEAD) or kept.total - TAIL <= offset <= kept.total:
        assert at == offset
    if at < kept.total:
        assert data


def test_what_is_lost_of_an_output_moves_what_follows() -> None:
    kept = Kept()
    kept.add(b"ab")
    kept.skip(10)
    kept.add(b"cd")
    assert kept.read(0, 99) == (b"ab", 0)
    assert kept.read(5, 99) == (b"cd", 12)
