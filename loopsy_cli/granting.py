"""`peers grant` and `phone grant`: changing what a contact may do, and until when."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Final, cast, get_args

from cyclopts import Parameter

from loopsy_core.errors import BadRequest
from loopsy_core.home import parse_duration
from loopsy_core.wire import Grant, GrantPeer, GrantPhone

from .ask import ask
from .options import Ending, Json, MachinePreset, Option, PhonePreset
from .show import clean, print_json, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loopsy_core.wire import PeerInfo, PhoneInfo

__all__ = ["grant_peer", "grant_phone", "parse_changes"]

NEVER: Final = "never"

# With a hyphen in front it looks like an option, and is none.
Changes = Annotated[
    str,
    Parameter(allow_leading_hyphen=True),
    Option(f"+exec allows, -exec (or no-exec) takes back; of {', '.join(get_args(Grant))}.", "MAY"),
]


def grant_peer(
    peer: str,
    /,
    *may: Changes,
    preset: Annotated[
        MachinePreset | None, Option("Begin from this instead of from what it may do.")
    ] = None,
    expires: Ending = None,
    json: Json = False,
) -> None:
    """Change what a machine may do here, and until when; it feels it at once."""
    added, removed = parse_changes(may)
    end, lasting = _parse_end(expires)
    request = GrantPeer(
        peer=peer, preset=preset, add=added, remove=removed, expires=end, lasting=lasting
    )
    _tell(ask(request), json=json)


def grant_phone(
    phone: str,
    /,
    *may: Changes,
    preset: Annotated[
        PhonePreset | None, Option("Begin from this instead of from what it may do.")
    ] = None,
    expires: Ending = None,
    json: Json = False,
) -> None:
    """Change what a phone may do here, and until when; it feels it at once."""
    added, removed = parse_changes(may)
    end, lasting = _parse_end(expires)
    request = GrantPhone(
        phone=phone, preset=preset, add=added, remove=removed, expires=end, lasting=lasting
    )
    _tell(ask(request), json=json)


def parse_changes(words: Sequence[str]) -> tuple[list[Grant], list[Grant]]:
    """Return the grants to add and those to take back; raises `BadRequest` for what is neither."""
    added: list[Grant] = []
    removed: list[Grant] = []
    for word in words:
        takes_back = word.startswith(("-", "no-"))
        name = word.removeprefix("no-").lstrip("+-")
        if name not in get_args(Grant):
            raise BadRequest(f"there is no grant {name!r}; there are {', '.join(get_args(Grant))}")
        (removed if takes_back else added).append(cast("Grant", name))
    return added, removed


def _parse_end(text: str | None) -> tuple[float | None, bool]:
    """Return when a pairing shall end, in seconds since 1970, and whether never.

    Raises `BadRequest` for what is neither a duration nor `never`.
    """
    if text is None or text == NEVER:
        return None, text == NEVER
    return time.time() + parse_duration(text), False


def _tell(contact: PeerInfo | PhoneInfo, *, json: bool) -> None:
    if json:
        print_json(contact)
    else:
        say(f"{clean(contact.name)} may now: {' '.join(contact.grants) or 'nothing'}")
