"""Phones from the command line: `mobile pair`, and what can be done with a paired one."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from loopsy_core.errors import Refused
from loopsy_core.home import create_private, parse_duration
from loopsy_core.wire import ListPhones, OfferPairing, RenamePhone, RevokePhone

from .ask import ask
from .options import Json, Option, PhonePreset
from .show import age, clean, fit, print_json, qr_code, say, show_qr, span, table

if TYPE_CHECKING:
    from loopsy_core.wire import PairingOffer, PhoneInfo

__all__ = ["list_phones", "pair", "rename", "revoke", "show_offer"]

SHORT_ID = 8
"""Characters of a phone's id that are shown; they are plenty to name it."""

_LOOPBACK: Final = re.compile(r"https?://(127\.|localhost[:/]|\[::1\])")


def pair(
    *,
    ttl: Annotated[str, Option("How long the offer stands: 30s, 5m, at most 1h.", "TIME")] = "5m",
    grant: Annotated[PhonePreset, Option("What the phone may do.")] = "phone",
    expires: Annotated[
        str | None,
        Option("When the phone is forgotten again, such as 30d; never if not given.", "TIME"),
    ] = None,
    png: Annotated[
        str | None, Option("Write the QR to this new file too, as a picture.", "FILE")
    ] = None,
    json: Json = False,
) -> None:
    """Offer a phone to pair: shows a QR for its camera, and a code to type there.

    The command returns at once; the offer stands until it is used, or its time is over, or
    three wrong codes were tried.
    """
    lifetime = None if expires is None else time.time() + parse_duration(expires)
    if png is not None and Path(png).exists():  # before an offer is made that nobody sees
        raise _exists(png)
    offer = ask(OfferPairing(ttl=parse_duration(ttl), preset=grant, expires=lifetime))
    if png is not None:
        _write_png(png, offer.pair_url)
    if json:
        print_json(offer)
        return
    show_offer(offer)
    if png is not None:
        say(f"The QR is in {clean(png)} too; whoever has it and the code can pair.")


def list_phones(*, json: Json = False) -> None:
    """List all paired phones, the oldest first.

    AUTO tells whether agents that the phone starts may approve by themselves: yes, or it asks
    first, or no.
    """
    phones = ask(ListPhones()).phones
    if json:
        print_json(phones)
    elif not phones:
        say("no phone is paired; `loopsy mobile pair` pairs one")
    else:
        table(("NAME", "ID", "SEEN", "PAIRED", "EXPIRES", "AUTO", "MAY"), map(_row, phones))


def revoke(phone: str, /, *, json: Json = False) -> None:
    """Forget a phone, by its id (or the beginning of it) or name, and cut it off at once."""
    _tell(ask(RevokePhone(phone=phone)), "is revoked", json=json)


def rename(phone: str, name: str, /, *, json: Json = False) -> None:
    """Call a phone something else here."""
    renamed = ask(RenamePhone(phone=phone, name=name))
    _tell(renamed, f"({renamed.id[:SHORT_ID]}) is its name now", json=json)


def show_offer(offer: PairingOffer) -> None:
    """Print the QR, the link and the code of an offer."""
    shown = show_qr(qr_code(offer.pair_url))
    here_only = _LOOPBACK.match(offer.pair_url) is not None
    if here_only:
        say("Open this in a browser on this machine:")
    else:
        say("Scan it with the phone's camera, or open this there:" if shown else "Open this there:")
    say(offer.pair_url)
    left = span(offer.expires_at - time.time() + 1)
    say(f"and type the code {' '.join(offer.code)} within {left}.")
    if here_only:
        say()
        say("No other device can open it. To let in a phone on your network: loopsy up --lan")


def _tell(phone: PhoneInfo, what: str, *, json: bool) -> None:
    if json:
        print_json(phone)
    else:
        say(f"{clean(phone.name)} {what}")


def _row(phone: PhoneInfo) -> tuple[str, ...]:
    seen = (
        "now" if phone.connected else "never" if phone.last_seen is None else age(phone.last_seen)
    )
    expires = "never" if phone.expires_at is None else span(phone.expires_at - time.time())
    auto = "yes" if phone.auto_approve else "asks" if "approve" in phone.grants else "no"
    return (
        phone.name,
        phone.id[:SHORT_ID],
        seen,
        age(phone.created_at),
        expires,
        auto,
        fit(" ".join(phone.grants), 60),
    )


def _write_png(path: str, text: str) -> None:
    picture = io.BytesIO()
    qr_code(text).save(picture, kind="png", scale=8, border=4)
    try:
        create_private(Path(path), picture.getvalue())
    except FileExistsError:
        raise _exists(path) from None


def _exists(path: str) -> Refused:
    return Refused(f"{path} exists, and nothing is overwritten; choose another file")
