"""How things look: nothing raw from elsewhere, nothing wider than the terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopsy_cli.show import age, clean, ending, fit, qr_code, show_qr, span, table, width_of


@given(st.text(max_size=100))
def test_what_is_shown_is_printable_whatever_comes(text: str) -> None:
    shown = clean(text)
    assert shown.isprintable()
    assert text.isprintable() is (shown == text)


def test_escapes_are_shown_as_what_they_are() -> None:
    assert clean("a\x1b[31mb\r\n\u202ec") == "a\\x1b[31mb\\r\\n\\u202ec"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-5, "0s"), (0.9, "0s"), (59, "59s"), (60, "1m"), (3599, "59m"), (7200, "2h"), (1e6, "11d")],
)
def test_a_span_is_one_number_and_one_unit(seconds: float, shown: str) -> None:
    assert span(seconds) == shown
    assert age(1000.0, 1000.0 + seconds) == shown


def test_an_ending_is_told_in_words() -> None:
    assert ending(3) == "exit status 3"
    assert ending(-9) == "signal 9 (SIGKILL)"
    assert ending(-64) in ("signal 64 (SIGRTMAX)", "signal 64")
    assert ending(-999) == "signal 999"
    assert ending(None) == "unknown exit status"


@given(st.text(max_size=60).map(clean), st.integers(1, 40))
def test_a_text_is_cut_to_its_columns(text: str, width: int) -> None:
    cut = fit(text, width)
    assert width_of(cut) <= width
    assert cut == text or cut.endswith("…")


def test_wide_characters_take_two_columns() -> None:
    assert width_of("日本") == 4
    assert width_of("e\u0301") == 1
    assert fit("日本語", 5) == "日本…"


def test_a_table_is_aligned_and_fits_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    rows = [("pet", "12345678", "x" * 60), ("日本" * 20, "abcdefgh", "short\x1b")]
    table(("NAME", "ID", "COMMAND"), rows)
    lines = capsys.readouterr().out.splitlines()
    assert all(width_of(line) <= 40 for line in lines)
    assert "\x1b" not in "".join(lines)


def test_in_a_pipe_nothing_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    table(("NAME", "COMMAND"), [("pet", "x" * 200)])
    assert "x" * 200 in capsys.readouterr().out


LINK = "http://192.168.100.200:19534/app#1," + ",".join(["A" * 64, "b" * 52, "C" * 22])


def test_a_pair_links_qr_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert show_qr(qr_code(LINK))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert set("".join(lines)) <= set(" ▀▄█")


def test_the_qr_is_drawn_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    qr = qr_code(LINK)
    show_qr(qr)
    drawn = capsys.readouterr().out.splitlines()
    light = {"█": (1, 1), "▀": (1, 0), "▄": (0, 1), " ": (0, 0)}
    read = [[light[char][half] for char in line] for line in drawn for half in (0, 1)]
    wanted = [[int(not module) for module in row] for row in qr.matrix_iter(border=2)]
    assert read[: len(wanted)] == wanted


def test_a_qr_that_cannot_be_shown_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert not show_qr(qr_code(LINK))
