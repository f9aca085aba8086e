"""What to try when a machine is not reached, by what was met on the way there.

Errors tell it in their details as `why`: their texts are for people.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from loopsy_core.errors import LoopsyError

__all__ = ["UNKNOWN", "mend_of"]

UNKNOWN: Final = "no address of it is known"
"""What is wrong with a machine that could not be called at all."""

_NOWHERE: Final = (
    "run `loopsy restart --lan` there, in the same network as this machine, or give it a relay by"
    " `loopsy relay configure URL` there, and let both meet once"
)
_DIRECTLY: Final = {
    "name": "see that the name is right and known to this machine, or pair by an address",
    "closed": "it is on, but Loopsy takes no calls there: run `loopsy restart --lan` there",
    "absent": "see that it is on, awake and in the same network, and that no firewall is between",
    "stranger": "something else listens there: see which port Loopsy has, by `loopsy status` there",
    "refuses": "see by `loopsy peers` there whether it knows this machine, and until when; if not,"
    " pair anew by `loopsy pair` on both, and be sure that it is the machine that you mean",
    "newer": "run `loopsy update` here",
    "older": "run `loopsy update` there",
    "expired": "run `loopsy peers grant NAME --expires 30d` here, or never, or pair anew",
}
_BY_RELAY: Final = {
    "relay": "see that the relay runs, and that this machine has a network",
    "away": "start Loopsy there: it has no link to its relay",
    "void": "its relay knows this machine no more: let both meet once on the LAN, or pair anew",
}
_OTHERWISE: Final = "see that it is on and in the same network with `loopsy start --lan`"


def mend_of(name: str, direct: LoopsyError | None, relayed: LoopsyError | None) -> str:
    """Return what to try for a machine, given why it was reached neither directly nor by relay."""
    mends = [] if direct is None and relayed is not None else [_mend(direct, _DIRECTLY)]
    if relayed is not None:
        mends.append(_mend(relayed, {**_DIRECTLY, **_BY_RELAY}))
    return "; or ".join(dict.fromkeys(mends)).replace("NAME", name)


def _mend(error: LoopsyError | None, mends: dict[str, str]) -> str:
    return _NOWHERE if error is None else mends.get(str(error.details.get("why")), _OTHERWISE)
