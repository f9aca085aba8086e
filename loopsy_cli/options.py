"""How commands describe their options, in the annotations of their parameters."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple, TypeAlias

__all__ = ["Ending", "Json", "MachinePreset", "Option", "Peer", "PhonePreset"]


class Option(NamedTuple):
    """What an option does, in a sentence, and what its value is called if not like the option."""

    help: str
    metavar: str | None = None
    short: str | None = None
    """A short form, which a `cyclopts.Parameter` beside this one must name as well."""


Json: TypeAlias = Annotated[bool, Option("Print one JSON document.")]
"""The option that every command has which prints data."""

Ending: TypeAlias = Annotated[
    str | None, Option("When it is forgotten, such as 30d, or never; else as it was.", "TIME")
]
"""The option that changes when a pairing ends."""

PhonePreset: TypeAlias = Literal["phone", "viewer"]
"""What a phone may be granted: all that a phone needs, or only to look."""

MachinePreset: TypeAlias = Literal["machine", "viewer", "phone"]
"""What a machine may be granted: all that machines need, only to look, or as much as a phone."""

Peer: TypeAlias = Annotated[str | None, Option("On another machine, by its name.", "MACHINE")]
"""The option by which a command goes to another machine."""
