"""Patterns that a model wrote, searched so that none of them can stop the server.

Python's own `re` may backtrack for years on a few hundred characters, and holds the GIL meanwhile:
a thread and a time limit do not help. RE2 needs time in proportion to the text, whatever the
pattern, at the price of lookaround and back-references.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loopsy_core.errors import BadRequest

if TYPE_CHECKING:
    import re

__all__ = ["Pattern"]

LONGEST: Final = 1000
"""Characters of a pattern."""


class Pattern:
    """A regular expression in RE2's syntax; `^` and `$` match at every line."""

    def __init__(self, pattern: str) -> None:
        """Compile it, or raise `BadRequest` that says what is wrong with it."""
        import re2  # here, for it is loaded when somebody waits for a pattern

        if len(pattern) > LONGEST:
            raise BadRequest(f"a pattern has at most {LONGEST} characters")
        options = re2.Options()
        options.log_errors = False
        options.max_mem = 8 << 20
        try:
            self._pattern = re2.compile(f"(?m){pattern}", options)
        except re2.error as error:
            why = error.args[0] if error.args else "it makes no sense"
            told = why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why)
            raise BadRequest(
                f"the pattern {pattern!r} cannot be used: {told}."
                " It is RE2: no lookaround, no back-references"
            ) from None

    def search(self, text: str) -> re.Match[str] | None:
        """Return the first match, whose `start`, `end`, `group` and `groups` are Python's."""
        found: re.Match[str] | None = self._pattern.search(text)
        return found
