"""Files of this machine for whoever may ask: listed, sent and received, within what is allowed.

Contacts reach what config.yaml allows and nothing else. This machine's own user could do all of
it without us, so nothing is kept from that one but the home of Loopsy, which is for nobody.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import trio

from loopsy_core.files import (
    Confinement,
    Disk,
    find_sources,
    list_place,
    receive_files,
    send_files,
)
from loopsy_core.wire import FilesListed, FilesMoved, ListFiles, PullFiles, PushFiles, decode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loopsy_core.home import Home, TransferConfig
    from loopsy_core.links import Asked
    from loopsy_core.wire import FilePage

__all__ = ["Files"]


AT_ONCE: Final = 3
"""Transfers of one contact; others wait for their turn. Each may have a hundred files open."""


class Files:
    """The files of one machine; one for a node."""

    def __init__(self, config: TransferConfig, home: Home, name: str) -> None:
        """Serve what `config` allows, and never what is in `home`; errors call us `name`."""
        self._config = config
        self._home = home
        self._name = os.fsencode(name)
        self._disk = Disk()
        self._turns: dict[str | None, trio.CapacityLimiter] = {}

    async def list_folder(self, asked: Asked, contact: str | None) -> FilesListed:
        """Tell what is in a folder; `contact` is who asks, None for this machine's own user."""
        request = decode(asked.params, ListFiles)
        with self._confinement(contact) as confinement:
            place = await self._disk.run(confinement.find, request.path)
            pages = list_place(place)
            while (page := await self._disk.run(_next_page, pages)) is not None:
                await asked.send_item(page)
        path = place.folder.path if place.name is None else place.folder.path_of(place.name)
        return FilesListed(path, place.is_folder)

    async def push(self, asked: Asked, contact: str | None) -> FilesMoved:
        """Receive files; they are on disk when this returns."""
        request = decode(asked.params, PushFiles)
        async with self._turn(contact):
            with self._confinement(contact) as confinement:
                place = await self._disk.run(confinement.find, request.path)
                return await receive_files(
                    asked,
                    place,
                    self._disk,
                    into=request.into,
                    most=self._most(contact),
                    on_kept=asked.send_item,
                )

    async def pull(self, asked: Asked, contact: str | None) -> FilesMoved:
        """Send files."""
        request = decode(asked.params, PullFiles)
        async with self._turn(contact):
            with self._confinement(contact) as confinement:
                places = await self._disk.run(find_sources, confinement, request.paths)
                most = self._most(contact)
                return await send_files(asked, places, self._disk, after=request.after, most=most)

    def _turn(self, contact: str | None) -> trio.CapacityLimiter:
        if contact not in self._turns:
            self._turns[contact] = trio.CapacityLimiter(AT_ONCE)
        return self._turns[contact]

    def _most(self, contact: str | None) -> int | None:
        return None if contact is None else self._config.max_file_size

    def _confinement(self, contact: str | None) -> Confinement:
        denied = (self._home.root, *(() if contact is None else self._config.denied_paths))
        allowed = None if contact is None else self._config.allowed_paths
        base = os.fsencode(os.path.expanduser("~"))
        return Confinement(allowed, denied, base=base, host=self._name)


def _next_page(pages: Iterator[FilePage]) -> FilePage | None:
    return next(pages, None)
