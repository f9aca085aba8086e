"""A YAML file read key by key, with errors that name the file, the line and the key.

Works on PyYAML's nodes, not on the values that it makes of them. Nodes know their line, so an
error can. They also keep what was written: `denylist: [no, 010]` means two programs, where YAML
would see a false and an eight. And an alias is only the same node met again, so a few lines
cannot grow into gigabytes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

from loopsy_core.errors import BadRequest, Misconfigured

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import yaml

__all__ = ["ConfigFile", "Section", "boolean", "lined", "list_of", "number", "optional", "text"]

T = TypeVar("T")

# Bytes of a file, to be read at all. PyYAML needs a second for some 100 KiB.
_MOST_BYTES: Final = 1 << 20

# Characters of one value, and of a wrong one in a message.
_MOST_TEXT: Final = 4096
_MOST_SHOWN: Final = 60

_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE: Final = frozenset({"true", "yes", "on"})
_FALSE: Final = frozenset({"false", "no", "off"})
_NUMBER: Final = re.compile(r"-?[0-9]{1,15}")


class ConfigFile:
    """The sections of one file. A missing or an empty file has only empty ones."""

    def __init__(self, path: Path) -> None:
        """Read `path`; raises `Misconfigured` when it cannot be read or is no YAML mapping."""
        self._path = path
        root = self._compose(_read(path))
        self._top = Section(self, "", root)

    def section(self, name: str) -> Section:
        """Return the section `name`; call `finish` when all were asked for."""
        return self._top.section(name)

    def finish(self) -> None:
        """Raise `Misconfigured` when the file has a section that was not asked for."""
        self._top.finish()

    def fail(self, line: int, what: str) -> NoReturn:
        """Raise `Misconfigured` for a 0-based `line`."""
        raise Misconfigured(f"{self._path} line {line + 1}: {what}") from None

    def _compose(self, content: str) -> yaml.Node | None:
        # Here, because it takes longer to load than most commands run.
        import yaml

        try:
            return yaml.compose(content, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            if mark is None:
                raise Misconfigured(f"{self._path} is not YAML: {error}") from None
            if content[mark.index : mark.index + 1] == "\t":
                self.fail(mark.line, "a tab cannot indent in YAML: use spaces")
            self.fail(mark.line, f"this is not YAML: {error.problem or error.context}")
        except yaml.reader.ReaderError as error:
            line = content.count("\n", 0, error.position)
            self.fail(line, "there is a control character here, which YAML does not allow")
        except RecursionError:
            raise Misconfigured(f"{self._path} is nested too deeply") from None
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            # PyYAML lets some of Python's errors out, as for the escape "\UFFFFFFFF".
            raise Misconfigured(f"{self._path} is not YAML: {error}") from None


class Section:
    """One mapping of the file: take the keys it may have, then `finish`."""

    def __init__(self, file: ConfigFile, name: str, node: yaml.Node | None) -> None:
        """Read `node`, which is None or null for an empty section; `name` is its dotted key."""
        self._file = file
        self._name = name
        self._known: list[str] = []
        self._values: dict[str, yaml.Node] = {}
        self._lines: dict[str, int] = {}
        if node is None or _is_null(node):
            return
        from yaml import MappingNode

        if not isinstance(node, MappingNode):
            file.fail(
                node.start_mark.line,
                f"{name or 'the file'} must hold keys such as `name: value`, not {_shown(node)}",
            )
        for key, value in node.value:
            self._add(key, value)

    def take(self, key: str, read: Callable[[yaml.Node], T], default: T) -> T:
        """Return what `read` makes of the value of `key`, or `default` where there is none.

        Raises `Misconfigured` when `read`, one of this file's readers, finds it wrong.
        """
        self._known.append(key)
        node = self._values.get(key)
        if node is None:
            return default
        try:
            return read(node)
        except _Wrong as wrong:
            subject = f"{'each item of ' if wrong.in_list else ''}{self._dotted(key)}"
            self._file.fail(
                wrong.node.start_mark.line,
                f"{subject} must be {wrong.wanted}, not {_shown(wrong.node)}",
            )

    def section(self, key: str) -> Section:
        """Return the section `key` of this one, empty where there is none."""
        self._known.append(key)
        return Section(self._file, self._dotted(key), self._values.get(key))

    def finish(self) -> None:
        """Raise `Misconfigured` for the first key that was never taken: a typo, most likely."""
        for key, line in self._lines.items():
            if key not in self._known:
                what = f"there is no setting {self._dotted(_word(key))}"
                self._file.fail(line, f"{what}; {self._hint(key)}")

    def _add(self, key: yaml.Node, value: yaml.Node) -> None:
        line = key.start_mark.line
        name = _scalar(key)
        if name is None:
            self._file.fail(line, f"a key must be a word, not {_shown(key)}")
        if name in self._values:
            again = f"{self._dotted(_word(name))} is set twice"
            self._file.fail(line, f"{again}, first in line {self._lines[name] + 1}")
        self._values[name] = value
        self._lines[name] = line

    def _hint(self, key: str) -> str:
        # Here, because it is needed for mistakes only.
        from difflib import get_close_matches

        near = get_close_matches(key[:_MOST_SHOWN], self._known, n=1)
        if near:
            return f"did you mean {self._dotted(near[0])}?"
        return f"known here are {', '.join(self._known)}"

    def _dotted(self, key: str) -> str:
        return f"{self._name}.{key}" if self._name else key


class _Wrong(Exception):
    """The value at `node` is not what is `wanted` ("a number")."""

    def __init__(self, node: yaml.Node, wanted: str, *, in_list: bool = False) -> None:
        super().__init__(wanted)
        self.node = node
        self.wanted = wanted
        self.in_list = in_list


def number(low: int, high: int) -> Callable[[yaml.Node], int]:
    """Read a whole number from `low` to `high`."""

    def read(node: yaml.Node) -> int:
        written = _scalar(node)
        if written is not None and _NUMBER.fullmatch(written) and low <= int(written) <= high:
            return int(written)
        raise _Wrong(node, f"a number from {low} to {high}")

    return read


def boolean(node: yaml.Node) -> bool:
    """Read `true` or `false`, or YAML's other words for them."""
    written = (_scalar(node) or "").lower()
    if written in _TRUE:
        return True
    if written in _FALSE:
        return False
    raise _Wrong(node, "true or false")


def text(
    wanted: str, convert: Callable[[str], T | None], *, tilde: bool = False
) -> Callable[[yaml.Node], T]:
    """Read what `convert` makes of a text; where that is None, the error says what is `wanted`.

    `convert` gets it as it was written, without quotes; `BadRequest` from it counts as None.
    With `tilde` a bare ~, which is YAML's null, is a text like any other.
    """

    def read(node: yaml.Node) -> T:
        written = _scalar(node)
        if _is_null(node) and not (tilde and written == "~"):
            written = None
        if written and written.isprintable() and len(written) <= _MOST_TEXT:
            try:
                value = convert(written)
            except BadRequest:
                value = None
            if value is not None:
                return value
        raise _Wrong(node, wanted)

    return read


def optional(read: Callable[[yaml.Node], T]) -> Callable[[yaml.Node], T | None]:
    """Read null as None, and all else by `read`."""

    def read_optional(node: yaml.Node) -> T | None:
        if _is_null(node):
            return None
        try:
            return read(node)
        except _Wrong as wrong:
            raise _Wrong(wrong.node, f"{wrong.wanted}, or null") from None

    return read_optional


def lined(read: Callable[[yaml.Node], T]) -> Callable[[yaml.Node], tuple[T, int]]:
    """Read by `read`, and return with it the number of the line, of which the first is 1."""

    def read_lined(node: yaml.Node) -> tuple[T, int]:
        return read(node), node.start_mark.line + 1

    return read_lined


def list_of(read: Callable[[yaml.Node], T]) -> Callable[[yaml.Node], tuple[T, ...]]:
    """Read a list, each of its items by `read`."""

    def read_list(node: yaml.Node) -> tuple[T, ...]:
        from yaml import SequenceNode

        if not isinstance(node, SequenceNode):
            raise _Wrong(node, "a list such as [one, two]")
        try:
            return tuple(read(item) for item in node.value)
        except _Wrong as wrong:
            raise _Wrong(wrong.node, wrong.wanted, in_list=True) from None

    return read_list


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise Misconfigured(f"cannot read {path}: {error.strerror}") from error
    if len(content) > _MOST_BYTES:
        raise Misconfigured(f"{path} is larger than {_MOST_BYTES >> 10} KiB: is it the right file?")
    try:
        # Some editors begin a file with a byte order mark.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Misconfigured(f"{path} line {line}: this is not UTF-8; save it as UTF-8") from None


def _scalar(node: yaml.Node) -> str | None:
    """Return what was written, without quotes, or None for a list or a mapping."""
    from yaml import ScalarNode

    return str(node.value) if isinstance(node, ScalarNode) else None


def _is_null(node: yaml.Node) -> bool:
    # A quoted one has a style: "null" is a word, null is none.
    return _scalar(node) in _NULLS and not getattr(node, "style", None)


def _shown(node: yaml.Node) -> str:
    """Describe a value in a message."""
    from yaml import SequenceNode

    written = _scalar(node)
    if written is None:
        return "a list" if isinstance(node, SequenceNode) else "a group of keys"
    if _is_null(node):
        return "nothing"
    return _quoted(written)


def _word(key: str) -> str:
    """Return a key as it was written, unless that would spoil a message."""
    return key if key.isprintable() and len(key) <= _MOST_SHOWN else _quoted(key)


def _quoted(written: str) -> str:
    return repr(written if len(written) <= _MOST_SHOWN else written[:_MOST_SHOWN] + "...")
