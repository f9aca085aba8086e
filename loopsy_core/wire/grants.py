"""What a contact may be allowed to do, and the usual bundles of it."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

__all__ = ["ALL_GRANTS", "PRESETS", "Grant", "Preset"]

Grant: TypeAlias = Literal[
    "view",
    "type",
    "exec",
    "files.read",
    "files.write",
    "context",
    "message",
    "task",
    "approve",
    "admin",
]
Preset: TypeAlias = Literal["phone", "machine", "viewer"]

ALL_GRANTS: Final[frozenset[Grant]] = frozenset(get_args(Grant))
PRESETS: Final[dict[Preset, frozenset[Grant]]] = {
    "phone": ALL_GRANTS - {"admin"},
    "machine": ALL_GRANTS - {"admin", "approve"},
    "viewer": frozenset({"view"}),
}
