"""The simple commands in a shell script, as far as they can be seen without running it.

A guard against accidents reads them (`deny.py`), so this is the shell's grammar at its best effort
(POSIX.1-2017, XCU 2, and what bash adds): it finds commands behind operators, keywords and
assignments, in substitutions, and in heredocs that a shell is fed. It never fails: what makes
no sense to it is taken as words.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SHELLS", "commands_in", "program_name"]

SHELLS: Final = frozenset(("sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "fish", "rbash"))
MOST_DEPTH: Final = 8
"""Substitutions inside of one another that are looked into."""

_BEFORE_COMMANDS: Final = frozenset(
    ("!", "{", "}", "if", "then", "elif", "else", "fi", "while", "until", "do", "done", "esac")
)
"""Words behind which a command may follow."""
_NO_COMMANDS: Final = frozenset(("for", "select", "case", "function", "[["))
"""Words behind which no command follows before the next separator."""
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*(\[[^]]*\])?\+?=", re.ASCII)
_REDIRECTION: Final = re.compile(r"<<<|<<-|<<|<>|>>|>\||[<>]&|[<>]|&>>|&>")
_SEPARATOR: Final = re.compile(r"[;&|\n]+")
_PLAIN: Final = re.compile(r"[^\s\\'\"$`;&|()<>]+")


def commands_in(script: str, depth: int = 0) -> list[list[str]]:
    """Return the words of each simple command, without quotes, assignments and redirections.

    A word that depends on what is only known when it runs (`$x`) is as it was written.
    """
    return _Reader(script, depth).read()


def program_name(word: str) -> str:
    """Return what a program is called, without the folder that it lies in."""
    return word.rstrip("/").rpartition("/")[2]


class _Reader:
    """Reads one script from its beginning to its end."""

    def __init__(self, script: str, depth: int) -> None:
        self._text = script
        self._depth = depth
        self._at = 0
        self._found: list[list[str]] = []
        self._words: list[str] = []  # of the command under way
        self._word: list[str] | None = None  # the word under way, in pieces; None between words
        self._redirection = ""  # whose operand the next word is
        self._heredocs: list[tuple[str, bool]] = []  # delimiters, and whether tabs are stripped
        self._line = 0  # how many commands were found before this line
        self._open = 0  # parentheses

    def read(self) -> list[list[str]]:
        text = self._text
        while self._at < len(text):
            char = text[self._at]
            if char in " \t\r":
                self._end_word()
                self._at += 1
            elif char == "#" and self._word is None:
                newline = text.find("\n", self._at)
                self._at = len(text) if newline < 0 else newline
            elif found := _REDIRECTION.match(text, self._at):
                self._read_redirection(found[0])
            elif found := _SEPARATOR.match(text, self._at):
                self._end_command()
                self._at = found.end()
                if "\n" in found[0]:
                    self._at -= len(found[0]) - found[0].index("\n") - 1
                    self._read_heredocs()
            elif char in "()":
                self._read_parenthesis(char)
            else:
                self._read_part(char)
        self._end_command()
        return self._found

    # Words.

    def _read_part(self, char: str) -> None:
        """Read a piece of a word."""
        text = self._text
        if self._word is None:
            self._word = []
        if char == "\\":
            self._word.append(text[self._at + 1 : self._at + 2].strip("\n"))
            self._at += 2
        elif char == "'":
            close = self._find("'", self._at + 1)
            self._word.append(text[self._at + 1 : close])
            self._at = close + 1
        elif char == '"':
            self._at += 1
            self._read_double_quotes(self._word)
        elif text.startswith("$'", self._at):
            close = self._find("'", self._at + 2)
            self._word.append(text[self._at + 2 : close])
            self._at = close + 1
        elif char in "$`":
            self._word.append(self._read_expansion())
        elif found := _PLAIN.match(text, self._at):
            self._word.append(found[0])
            self._at = found.end()
        else:  # a space that is none of the shell's
            self._word.append(char)
            self._at += 1

    def _read_double_quotes(self, word: list[str]) -> None:
        text = self._text
        while self._at < len(text) and (char := text[self._at]) != '"':
            if char == "\\" and (escaped := text[self._at + 1 : self._at + 2]) in '"\\$`\n':
                word.append(escaped.strip("\n"))
                self._at += 2
            elif char in "$`":
                word.append(self._read_expansion())
            else:
                word.append(char)
                self._at += 1
        self._at += 1

    def _read_expansion(self) -> str:
        """Read `$x`, `${x}`, `$(command)`, `$((sum))` or a command in backticks."""
        text, begin = self._text, self._at
        end = begin + 1
        if text[begin] == "`":
            end = self._find("`", begin + 1)
            self._look_into(text[begin + 1 : end].replace("\\`", "`"))
            end += 1
        elif text.startswith("$((", begin):
            end = self._closing("()", begin + 1)
        elif text.startswith("$(", begin):
            end = self._closing("()", begin + 1)
            self._look_into(text[begin + 2 : end - 1])
        elif text.startswith("${", begin):
            end = self._closing("{}", begin + 1)
            self._look_into(f": {text[begin + 2 : end - 1]}")
        self._at = end
        return text[begin:end]

    def _end_word(self) -> None:
        if self._word is None:
            return
        word, self._word = "".join(self._word), None
        redirection, self._redirection = self._redirection, ""
        if redirection in ("<<", "<<-"):
            self._heredocs.append((word, redirection == "<<-"))
        elif redirection == "<<<":
            # What is substituted there has been looked into already.
            if _any_shell(self._words) and not any(mark in word for mark in ("$(", "`")):
                self._look_into(word)
        elif not redirection and not self._skipped(word):
            self._words.append(word)

    def _skipped(self, word: str) -> bool:
        return not self._words and (word in _BEFORE_COMMANDS or bool(_ASSIGNMENT.match(word)))

    # Commands.

    def _end_command(self) -> None:
        self._end_word()
        self._redirection = ""
        words, self._words = self._words, []
        if words and words[0] not in _NO_COMMANDS:
            self._found.append(words)

    def _read_redirection(self, operator: str) -> None:
        text = self._text
        if self._word is not None and "".join(self._word).isdigit():
            self._word = None  # the number of a descriptor
        self._end_word()
        self._at += len(operator)
        if operator in "<>" and text.startswith("(", self._at):
            end = self._closing("()", self._at)
            self._look_into(text[self._at + 1 : end - 1])
            self._at = end
            self._words.append(f"{operator}(...)")
        else:
            self._redirection = operator

    def _read_parenthesis(self, char: str) -> None:
        self._at += 1
        self._end_word()
        if char == "(" and not self._words:
            self._open += 1
        elif char == "(":
            self._words = []  # what a function is called
            self._at += self._text.startswith(")", self._at)
        elif self._open:
            self._open -= 1
            self._end_command()
        else:
            self._words = []  # what a case is about

    def _read_heredocs(self) -> None:
        """Pass over the bodies of the heredocs of the line that ends here."""
        fed = any(_any_shell(words) for words in self._found[self._line :])
        for delimiter, stripped in self._heredocs:
            body: list[str] = []
            while self._at < len(self._text):
                end = self._text.find("\n", self._at)
                end = len(self._text) if end < 0 else end
                line = self._text[self._at : end]
                self._at = end + 1
                if (line.lstrip("\t") if stripped else line) == delimiter:
                    break
                body.append(line)
            if fed:
                self._look_into("\n".join(body))
        self._heredocs = []
        self._line = len(self._found)

    def _look_into(self, script: str) -> None:
        if self._depth < MOST_DEPTH:
            self._found.extend(commands_in(script, self._depth + 1))

    # Where something ends; at the end of the text if it does not.

    def _find(self, char: str, at: int) -> int:
        """Return where the next `char` is that is not escaped; nothing is within single quotes."""
        text = self._text
        while at < len(text) and text[at] != char:
            at += 2 if text[at] == "\\" and char != "'" else 1
        return min(at, len(text))

    def _closing(self, pair: str, at: int) -> int:
        """Return where what is opened at `at` has been closed, brackets in quotes aside."""
        text, depth = self._text, 0
        while at < len(text):
            char = text[at]
            if char == "\\":
                at += 1
            elif char in "'\"":
                at = self._find(char, at + 1)
            elif char == pair[0]:
                depth += 1
            elif char == pair[1]:
                depth -= 1
                if not depth:
                    return at + 1
            at += 1
        return len(text)


def _any_shell(words: Sequence[str]) -> bool:
    return any(program_name(word) in SHELLS for word in words)
