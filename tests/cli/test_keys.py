"""The keys behind Ctrl-A: found however a terminal reports them, and nothing else is touched."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_cli.keys import Keys, Pressed, Typing
from loopsy_core.wire import is_answers

ANY_BYTES = st.binary(max_size=200)
PREFIXES = [b"\x01", b"\x1b[97;5u", b"\x1b[97;5:1u", b"\x1b[97;69u", b"\x1b[27;5;97~"]
SEQUENCES = st.lists(
    st.sampled_from(
        [
            b"\x01", b"d", b"D", b"?", b"\x04", b"x", b"\x1b", b"[", b"200~", b"201~", b"97;5u",
            b"\x1b[97;5u", b"\x1b[97;5:3u", b"\x1b[200~", b"\x1b[201~", b"\x1b[27;5;97~",
            b"\x1b[<35;10;5M", b"\x1b[I", b"\x1b[A", b"\x1b[100u", b"\xc3\xa9", b"\x1bOA",
        ]
    ),
    max_size=30,
)  # fmt: skip


def typed(*pieces: bytes) -> list[Typing]:
    keys = Keys()
    out: list[Typing] = []
    for piece in pieces:
        out += keys.feed(piece)
    return joined(out + keys.flush())


def joined(items: list[Typing]) -> list[Typing]:
    out: list[Typing] = []
    for item in items:
        if out and isinstance(item, bytes) and isinstance(last := out[-1], bytes):
            out[-1] = last + item
        else:
            out.append(item)
    return out


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("key", [b"d", b"D", b"\x04", b"\x1b[100u", b"\x1b[100;2u", b"\x1b[100;5u"])
def test_ctrl_a_d_detaches(prefix: bytes, key: bytes) -> None:
    assert typed(b"before" + prefix + key) == [b"before", Pressed.DETACH]


@pytest.mark.parametrize("prefix", [b"\x01", b"\x1b[97;5u", b"\x1b[27;5;97~"])
def test_ctrl_a_twice_sends_one_as_it_was_reported(prefix: bytes) -> None:
    assert typed(prefix + prefix + b"d") == [prefix + b"d"]


@pytest.mark.parametrize("key", [b"?", b"\x1b[47;2u", b"\x1b[47:63;2u", b"\x1b[63u"])
def test_ctrl_a_question_mark_asks_for_help(key: bytes) -> None:
    assert typed(b"before\x01" + key) == [b"before", Pressed.HELP]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("key", [b"s", b"S", b"\x13", b"\x1b[115u", b"\x1b[27;5;115~"])
def test_ctrl_a_s_takes_the_size(prefix: bytes, key: bytes) -> None:
    assert typed(b"before" + prefix + key + b"x") == [b"before", Pressed.SIZE, b"x"]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("form", [b"\x1b[%c", b"\x1bO%c", b"\x1b[1;5%c", b"\x1b[1;1:1%c"])
def test_ctrl_a_and_arrows_pan_where_there_is_something_to_pan(prefix: bytes, form: bytes) -> None:
    for letter, pressed in zip(
        b"ABCD", (Pressed.UP, Pressed.DOWN, Pressed.RIGHT, Pressed.LEFT), strict=True
    ):
        keys = Keys()
        keys.arrows = True
        assert keys.feed(prefix + form % letter + b"x") == [pressed, b"x"]
        assert typed(prefix + form % letter) == [prefix + form % letter]


@pytest.mark.parametrize(
    "key",
    [b"q", b"\r", b"\x1b", b"\x1b[A", b"\x1bOP", b"\xc3\xa9", b"\x1b[113u", b"\x1b[27;5;113~",
     b"\x01\x01", b"\x01q"],
)  # fmt: skip
def test_behind_the_help_any_key_closes_it_and_goes_no_further(key: bytes) -> None:
    assert typed(b"\x01?", key, b"x") == [Pressed.HELP, Pressed.CLOSE, b"x"]


@pytest.mark.parametrize(
    "report", [b"\x1b[<35;10;5M", b"\x1b[?62;22c", b"\x1b[113;1:3u", b"\x1b]11;rgb:1/2/3\x07"]
)
def test_what_is_no_key_does_not_close_the_help(report: bytes) -> None:
    assert typed(b"\x01?" + report + b"q") == [Pressed.HELP, report, Pressed.CLOSE]


def test_ctrl_a_works_behind_the_help_too() -> None:
    assert typed(b"\x01?\x01d") == [Pressed.HELP, Pressed.CLOSE, Pressed.DETACH]
    assert typed(b"\x01?\x01s") == [Pressed.HELP, Pressed.CLOSE, Pressed.SIZE]


@pytest.mark.parametrize("cut", range(13))
def test_a_paste_closes_the_help_and_is_not_lost(cut: int) -> None:
    paste = b"\x1b[200~text\x1b[201~"
    pieces = paste[:cut], paste[cut:]
    assert typed(b"\x01?", *pieces) == [Pressed.HELP, Pressed.CLOSE, paste]


def test_a_key_that_closes_the_help_in_two_pieces_goes_no_further() -> None:
    assert typed(b"\x01?", b"\x1b", b"[A", b"x") == [Pressed.HELP, Pressed.CLOSE, b"x"]
    assert typed(b"\x01?", b"\x1b", b"x") == [Pressed.HELP, Pressed.CLOSE, b"x"]


@pytest.mark.parametrize("key", [b"x", b"\r", b"\x1b", b"\x1b[A", b"\xc3\xa9", b"\x1bOP"])
def test_ctrl_a_before_another_key_is_passed_on(key: bytes) -> None:
    assert typed(b"\x01" + key) == [b"\x01" + key]


def test_ctrl_a_in_a_paste_is_text() -> None:
    paste = b"\x1b[200~one\x01d two\x1b[201~"
    assert typed(paste + b"\x01d") == [paste, Pressed.DETACH]


@pytest.mark.parametrize("pieces", [(b"\x1b", b"[200~"), (b"\x1b", b"[2", b"00", b"~")])
def test_ctrl_a_is_text_in_a_paste_that_begins_in_pieces(pieces: tuple[bytes, ...]) -> None:
    paste = b"one\x01d two\x1b[201~"
    assert typed(*pieces, paste, b"\x01d") == [b"\x1b[200~" + paste, Pressed.DETACH]


def test_no_paste_begins_with_keys_that_follow_slowly() -> None:
    keys = Keys()
    out = keys.feed(b"\x1b") + keys.flush() + keys.feed(b"[200~") + keys.feed(b"\x01d")
    assert out == [b"\x1b", b"[200~", Pressed.DETACH]


def test_ctrl_a_may_be_reported_in_pieces() -> None:
    assert typed(b"\x1b", b"[97;5u", b"d") == [b"\x1b", Pressed.DETACH]
    assert typed(b"\x1b", b"[97;5u", b"x") == [b"\x1b[97;5ux"]


@pytest.mark.parametrize(
    "between",
    [b"\x1b[<35;10;5M", b"\x1b[M !!", b"\x1b[I", b"\x1b[97;5:3u", b"\x1b[57442;5u", b"\x1b[?1;2c"],
)
def test_what_is_no_key_does_not_come_between(between: bytes) -> None:
    assert typed(b"\x01" + between + b"d")[-1] is Pressed.DETACH


def test_esc_alone_is_passed_on_at_once_and_half_a_sequence_is_not() -> None:
    keys = Keys()
    assert keys.feed(b"\x1b") == [b"\x1b"]
    assert keys.feed(b"x") == [b"x"]
    assert keys.feed(b"\x1b[97;") == []
    assert keys.waiting
    assert keys.flush() == [b"\x1b[97;"]
    assert not keys.waiting


@given(ANY_BYTES.filter(lambda data: b"\x01" not in data and b"\x1b" not in data))
def test_without_ctrl_a_everything_passes_at_once(data: bytes) -> None:
    assert Keys().feed(data) == ([data] if data else [])


@given(ANY_BYTES | SEQUENCES.map(b"".join))
def test_nothing_is_invented(data: bytes) -> None:
    keys = Keys()
    out = b"".join(item for item in keys.feed(data) + keys.flush() if isinstance(item, bytes))
    assert not Counter(out) - Counter(data)


@given(SEQUENCES, st.data())
def test_where_it_is_split_between_sequences_does_not_matter(
    pieces: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(pieces)
    # Not just behind an Esc: alone it is a key, which no terminal splits from the rest.
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=5)))
    cuts = [cut for cut in cuts if not whole[:cut].endswith(b"\x1b")]
    split = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert typed(*split) == typed(whole)


ANSWERS = [
    b"\x1b[?62;22c", b"\x1b[>1;10;0c", b"\x1bP!|00000000\x1b\\", b"\x1bP>|foot(1.2)\x1b\\",
    b"\x1b[12;40R", b"\x1b[1;1R", b"\x1b[1;17R", b"\x1b[?12;40R", b"\x1b[0n", b"\x1b[?997;1n",
    b"\x1b[?2026;2$y", b"\x1b[4;2$y", b"\x1b[?1u", b"\x1b[8;24;80t", b"\x1b[48;24;80;600;800t",
    b"\x1b]4;7;rgb:1/2/3\x07", b"\x1b]10;rgb:1/2/3\x1b\\", b"\x1b]11;rgb:1/2/3\x07",
    b"\x1b]12;rgb:1/2/3\x07", b"\x1b]52;c;bG9vcHN5\x1b\\", b"\x1b[>4;2m", b"\x1b[?1;0;256S",
    b"\x1bP1$r0m\x1b\\", b"\x1bP1+r544e=78\x1b\\", b"\x1b_Gi=31;OK\x1b\\",
]  # fmt: skip
# No digits and no `>` behind an Alt: with them it is what no keyboard sends within a moment.
KEYS = [
    b"\x1b", b"a", b"q", b"\xc3\xa9", b"\r", b"\x07", b"\x1b]", b"\x1bP", b"\x1b\\", b"\x1b_",
    b"\x1b[A", b"\x1b[1;5A", b"\x1bOA", b"\x1bOR", b"\x1b[R", b"\x1b[1;2R", b"\x1b[1;5R",
    b"\x1b[1;16R", b"\x1b[1;5:3R", b"\x1b[1;5S", b"\x1b[13~", b"\x1b[13;5~", b"\x1b[27;5;99~",
    b"\x1b[99;5u", b"\x1b[99:67;6:1;67u", b"\x1b[57441;2:3u", b"\x1b[I", b"\x1b[O", b"\x1b[c",
    b"\x1b[<0;5;3M", b"\x1b[<0;5;3m", b"\x1b[M !!", b"\x1b[M\x20\x3fR", b"\x1b[35;5;3M",
    b"\x1b[200~\x1b[?62;22c\x1b]11;rgb:1/2/3\x07\x1b[12;40R\x1b[201~",
]  # fmt: skip


def let_through(*pieces: bytes, shown: bytes = b"") -> bytes:
    """Return what becomes of input where another terminal is to answer."""
    keys = Keys()
    keys.answering = False
    keys.questions.shown(shown)
    out = [item for piece in pieces for item in keys.feed(piece)] + keys.flush()
    assert not any(isinstance(item, Pressed) for item in out)
    return b"".join(item for item in out if isinstance(item, bytes))


@given(st.lists(st.sampled_from(KEYS), max_size=30), st.data())
def test_no_key_no_click_and_no_paste_is_ever_taken_for_an_answer(
    keys: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(keys)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=5)))
    split = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert let_through(*split) == whole
    assert not is_answers(whole)


@given(st.lists(st.sampled_from(ANSWERS) | st.sampled_from([b"x", b"\x1b[A"])), st.data())
def test_answers_are_left_out_however_they_are_split(
    pieces: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(pieces)
    cuts = data.draw(st.sets(st.integers(0, len(whole)), max_size=5))
    # Neither Esc nor Alt with a letter is held back.
    ends = (b"\x1b", b"\x1b]", b"\x1bP", b"\x1bP1", b"\x1b_")
    cuts = {cut for cut in cuts if not whole[:cut].endswith(ends)}
    split = [whole[a:b] for a, b in itertools.pairwise([0, *sorted(cuts), len(whole)])]
    assert let_through(*split) == b"".join(each for each in pieces if each not in ANSWERS)
    assert is_answers(whole) == (bool(pieces) and all(each in ANSWERS for each in pieces))
    assert typed(*split) == ([whole] if whole else []), "who is to answer does"


@pytest.mark.parametrize("answer", [b"\x1b[?62;22c", b"\x1b[>1;10;0c", b"\x1b[12;40R"])
def test_of_an_answer_whose_first_byte_came_alone_the_rest_is_left_out(answer: bytes) -> None:
    assert let_through(answer[:1], answer[1:], b"x") == b"\x1bx"
    assert let_through(answer[:1], answer[1:4], answer[4:], b"x") == b"\x1bx"


def test_a_cursor_in_the_first_line_is_an_answer_if_there_was_a_question() -> None:
    f3 = b"\x1b[1;5R"
    assert let_through(f3) == f3
    assert let_through(f3 + f3, shown=b"text\x1b[6n") == f3
    assert let_through(f3 + f3, shown=b"\x1b[?6n\x1b[6n") == b""
    assert let_through(b"\x1b[3;1R" + f3, shown=b"\x1b[6n") == f3


@given(st.integers(0, 12))
def test_a_question_is_seen_however_it_is_split(cut: int) -> None:
    keys = Keys()
    keys.answering = False
    question = b"\x1b[1m\x1b[6nxy"
    for part in (question[:cut], question[cut:]):
        keys.questions.shown(part)
    assert keys.feed(b"\x1b[1;5R") == []
    assert keys.feed(b"\x1b[1;5R") == [b"\x1b[1;5R"]


def test_a_long_answer_in_many_pieces_is_left_out() -> None:
    text = b"\x1b]52;c;" + b"x" * 300_000 + b"\x1b\\"
    pieces = [text[at : at + 4095] for at in range(0, len(text), 4095)]
    assert let_through(*pieces, b"key") == b"key"
