"""One request on its way: checked and counted when it begins, recorded once when it has ended."""

from __future__ import annotations

import time
from time import perf_counter
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.errors import BadRequest, LoopsyError
from loopsy_core.wire import Hello, decode

if TYPE_CHECKING:
    import msgspec

    from loopsy_core.home import AuditLog
    from loopsy_core.links import Asked
    from loopsy_core.wire import Operation

    from .grants import Asker
    from .limits import Limits

__all__ = ["Request"]

_UNRECORDED: Final = frozenset((Hello.op,))
"""Signs of life, which machines ask of each other every few seconds."""


class Request:
    """One request on its way; whatever comes of it, `end` is told."""

    def __init__(
        self,
        log: AuditLog,
        limits: Limits,
        asker: Asker,
        asked: Asked,
        operation: type[Operation[object]] | None,
    ) -> None:
        """Begin to count its time; None is what nobody here has heard of."""
        self._log = log
        self._limits = limits
        self._asker = asker
        self._asked = asked
        self._operation = operation
        self._counted = False
        self._began = perf_counter()

    def begin(self) -> None:
        """Raise `BadRequest`, `Refused` or `Busy` unless the asker may ask this, here and now."""
        if self._operation is None:
            raise BadRequest(f"this version of Loopsy does not know {self._asked.op!r}")
        self._asker.check(self._operation)
        self._limits.check(self._asker, self._operation)
        self._limits.begin(self._asker)
        self._counted = True

    def end(self, result: str) -> None:
        """Write the line: `result` is "ok", the code of an error, or "left"."""
        if self._counted:
            self._counted = False
            self._limits.end(self._asker)
        if self._asked.op in _UNRECORDED:
            return
        self._log.note(
            now=time.time(),
            actor=self._asker.name,
            op=self._asked.op,
            result=result,
            seconds=perf_counter() - self._began,
            where=_about(self._operation, self._asked.params),
            contact=self._asker.contact,
            to=self._asked.to,
        )

    def fail(self, error: BaseException) -> None:
        """Write the line of a request that ended with `error`."""
        self.end(_code(error))


def _about(operation: type[Operation[object]] | None, params: msgspec.Raw) -> str | None:
    if operation is None or operation.about is None:
        return None
    try:
        value = decode(params, dict).get(operation.about)
    except LoopsyError:
        return None
    values = value if isinstance(value, list) else [value]
    return " ".join(_text(each) for each in values) or None


def _text(value: object) -> str:
    if isinstance(value, bytes):  # the path of a file, which need not be text
        return value.decode("utf-8", "backslashreplace")
    return value if isinstance(value, str) else ""


def _code(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, LoopsyError):
        return error.code
    return "left" if isinstance(error, trio.Cancelled) else LoopsyError.code
