"""What `loopsy up` finds out about this machine: its address on the network, and its browser."""

from __future__ import annotations

import html
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.errors import LoopsyError, Misconfigured
from loopsy_core.home import write_private

if TYPE_CHECKING:
    from webbrowser import BaseBrowser

__all__ = ["find_lan_address", "open_in_browser"]

# Reserved for documentation (RFC 5737). Connecting a UDP socket sends nothing; it only makes the
# system choose the address that it would send from.
_ELSEWHERE: Final = ("192.0.2.1", 9)
_PAGE: Final = """\
<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0;url={target}">
<title>Loopsy</title>
<a href="{target}">Loopsy</a>
"""
READ_BY_THEN: Final = 60.0
"""Seconds after which a browser has read the page that sends it on."""


def find_lan_address() -> str:
    """Return this machine's address on its network; `Misconfigured` when it is on none."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(_ELSEWHERE)
            address = str(probe.getsockname()[0])
    except OSError:
        address = ""
    if not address or address == "0.0.0.0" or address.startswith("127."):
        raise Misconfigured(
            "this machine seems to be on no network, so no phone could reach it; connect it, or"
            " run `loopsy up` without --lan to use the browser here"
        )
    return address


async def open_in_browser(link: str, folder: Path) -> None:
    """Open `link` in the browser of this desktop, if there is one; otherwise do nothing.

    A link with a secret in it must not become an argument of another process, where every user
    of the machine can read it. So the browser is given a file in `folder`, that only this user
    can read, which sends it on; it is removed after a while.
    """
    browser = _find_browser()
    if browser is None:
        return
    page = folder / "open.html"
    address = link
    if "#" in link and _confined():
        address = link.partition("#")[0]
    elif "#" in link:
        target = html.escape(link)
        try:
            write_private(page, _PAGE.format(target=target).encode())
        except LoopsyError:
            return
        address = page.as_uri()
    try:
        await trio.to_thread.run_sync(browser.open, address, abandon_on_cancel=True)
        if address != link:
            await trio.sleep(READ_BY_THEN)
    finally:
        with suppress(OSError):
            page.unlink(missing_ok=True)


def _find_browser() -> BaseBrowser | None:
    """Return the graphical browser of whoever sits here."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("SSH_CONNECTION"):
        return None
    if sys.platform != "darwin" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return None
    import webbrowser

    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return None
    # A browser for terminals would take this one.
    return None if type(browser) is webbrowser.GenericBrowser else browser


def _confined() -> bool:
    """Whether the browser is likely a snap, which may not read hidden folders of its user."""
    return any(Path("/snap/bin", name).exists() for name in ("firefox", "chromium"))
