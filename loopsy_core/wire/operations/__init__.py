"""Every request with its parameters, its reply and the grant it needs.

PROTOCOL.md sections 4 and 5. An operation is a frozen struct; its class says the name on the
wire (`op`), who may ask (`grant`) and what comes back (`reply`). Sizes of terminals are in
cells, times are seconds since 1970 (UTC), lengths of time are seconds.
"""

from __future__ import annotations

from typing import Final, cast

from ..operation import Operation
from . import context, files, jobs, kinds, messages, node, peers, phones, sessions, tasks

__all__ = ["OPERATIONS"]

OPERATIONS: Final[dict[str, type[Operation[object]]]] = {
    kind.op: cast("type[Operation[object]]", kind)
    for file in (node, sessions, kinds, phones, peers, jobs, context, messages, tasks, files)
    for kind in (getattr(file, name) for name in file.__all__)
    if isinstance(kind, type) and issubclass(kind, Operation)
}
